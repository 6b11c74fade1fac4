"""`retort plan`, `retort build`: from a build file to a folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from common.errors import ToolMissingError
from hw.tools.tools import fingerprint
from pipeline.cli.app import (
    DEFAULT_STORE,
    AsJson,
    BuildFile,
    Overrides,
    StoreFolder,
    print_json,
    print_table,
    say,
    shown,
)
from pipeline.config.file import left_out, load_checked
from pipeline.engine import engine, outputs
from pipeline.engine.lock import LOCK
from pipeline.engine.store import Store

Until = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Stop after this stage.", show_default=False)
]


def plan(
    file: BuildFile,
    values: Overrides = None,
    until: Until = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show which stages a build would run, and why, and the values that the build file leaves out."""
    config = load_checked(file, values or ())
    from pipeline.stages import stages_of

    planned = engine.plan(config, stages_of(config), Store(store), fingerprint, until)
    defaults = left_out(config, file, values or ())
    if as_json:
        print_json({"stages": [asdict(each) for each in planned], "defaults": defaults})
        return
    print_table([(each.stage, each.status, each.why) for each in planned])
    say("")
    print_table([("default", "value"), *((key, json.dumps(value)) for key, value in defaults.items())])


def build(
    ctx: typer.Context,
    file: BuildFile,
    values: Overrides = None,
    until: Until = None,
    out: Annotated[Path, typer.Option(help="Where the build's folder goes.")] = Path("out"),
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what is damaged in the store.")] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Run the stages not in the store, write the build's folder.

    If the rest needs another machine, it builds what it can and ends with exit code 4.
    """
    config = load_checked(file, values or ())
    from pipeline.stages import stages_of

    opened = Store(store)
    folder = out / config.name
    with shown(ctx, as_json) as display:
        result = outputs.build_folder(
            config,
            stages_of(config),
            opened,
            fingerprint,
            folder,
            until=until,
            progress=display,
            repair=repair,
        )
    if as_json:
        ran = {name: name in result.ran for name in result.manifests}
        stages = [
            {"stage": name, "key": key, "status": "built" if ran[name] else "cached"}
            for name, key in result.keys.items()
        ]
        print_json({"build": config.name, "folder": str(folder), "stages": stages})
    else:
        say(f"{config.name}: {len(result.ran)} of {len(result.stages)} stages built, files in {folder}")
    if result.elsewhere:
        raise ToolMissingError(
            f"{result.elsewhere}; where it is, with {folder / LOCK} and the store copied there:"
            f" retort build {folder / LOCK} --store {store}"
        )
