"""`retort tree`: the teacher of a build as a decision tree."""

from pathlib import Path
from typing import Annotated

import typer

from hw.tools import fingerprint
from pipeline import engine
from pipeline.cli.app import DEFAULT_STORE, AsJson, BuildFile, StoreFolder, print_json, shown
from pipeline.config import distilled, load
from pipeline.store import Store


def tree(
    ctx: typer.Context,
    file: BuildFile,
    depth: Annotated[int, typer.Option(help="Most comparisons a sample meets.")] = 8,
    leaves: Annotated[int | None, typer.Option(help="Most leaves.", show_default=False)] = None,
    printed: Annotated[bool, typer.Option("--print", help="Print the tree.")] = False,
    out: Annotated[Path, typer.Option(help="The build's folder is made in this one.")] = Path("out"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Distil the teacher into a decision tree and its core, simulated on the whole test set."""
    config = distilled(load(file))
    from pipeline.stages import STAGES
    from pipeline.tree import distil_tree

    opened = Store(store)
    with shown(ctx, as_json) as display:
        result = engine.build(config, STAGES, opened, fingerprint, until="teacher", progress=display)
        files = {
            name: opened.path(manifest, name)
            for manifest in result.manifests.values()
            for name in manifest.files
        }
        display.note("tree: running")
        found, about = distil_tree(config, files, depth, leaves, out / config.name)
    if as_json:
        print_json(about)
        return
    for line in found.lines() if printed else ():
        typer.echo(line)
    typer.echo(
        f"depth {about['depth']}, {about['leaves']} leaves: {about['accuracy']:.2%} accuracy, teacher"
        f" {about['teacher_accuracy']:.2%}, the same class on {about['agreement']:.2%}"
    )
    typer.echo(f"core equal on {about['samples']} of {about['samples']} samples; in {about['folder']}")
