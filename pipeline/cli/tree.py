"""`retort tree`: the teacher of a build as a decision tree."""

from pathlib import Path
from typing import Annotated

import typer

from hw.tools.tools import fingerprint
from pipeline.artefacts.verification import VERIFICATION
from pipeline.cli.app import (
    DEFAULT_STORE,
    AsJson,
    BuildFile,
    StoreFolder,
    print_json,
    print_table,
    say,
    shown,
)
from pipeline.cli.folder import rung_rows
from pipeline.config.checks import load_checked
from pipeline.engine.store import Store


def tree(
    ctx: typer.Context,
    file: BuildFile,
    depth: Annotated[int, typer.Option(min=1, max=64, help="Most comparisons a sample meets.")] = 8,
    leaves: Annotated[
        int | None, typer.Option(min=2, max=65536, help="Most leaves.", show_default=False)
    ] = None,
    bitstream: Annotated[
        bool, typer.Option("--bitstream/--no-bitstream", help="Whether to go on from the core to the board.")
    ] = True,
    printed: Annotated[bool, typer.Option("--print", help="Print the tree.")] = False,
    out: Annotated[Path, typer.Option(help="The build's folder is made in this one.")] = Path("out"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Distil the teacher into a decision tree, its core, and the board's bitstream, bit for bit."""
    config = load_checked(file)
    from pipeline.studies.tree import FOLDER, TreePlan, distil_tree

    plan = TreePlan(depth, leaves, bitstream)
    folder = out / config.name / FOLDER
    with shown(ctx, as_json) as display:
        found, about = distil_tree(config, plan, Store(store), fingerprint, display, folder)
    rungs = VERIFICATION.load(folder)
    if as_json:
        print_json({**about, "rungs": VERIFICATION.plain(rungs), "folder": str(folder)})
        return
    for line in found.lines() if printed else ():
        say(line)
    say(
        f"depth {about['depth']}, {about['leaves']} leaves: {about['accuracy']:.2%} accuracy, teacher"
        f" {about['teacher_accuracy']:.2%}, the same class on {about['agreement']:.2%}"
    )
    print_table(rung_rows(rungs))
    say(f"files in {folder}")
