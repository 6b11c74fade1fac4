"""`retort study`: what a build's `[study]` asks for."""

from pathlib import Path
from typing import Annotated

import typer

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
from pipeline.config.file import load_checked
from pipeline.engine.store import Store


def study(
    ctx: typer.Context,
    file: BuildFile,
    values: Overrides = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Bring every run up to this stage.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="A Dask scheduler's address, tcp://...")] = None,
    out: Annotated[Path, typer.Option(help="Where the build's folder goes.")] = Path("out"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Perform the build's [study]; write study.html, study.md and study.json.

    Finished runs stay in the store. The same command goes on where it was interrupted.
    """
    build = load_checked(file, values or ())
    from pipeline.artefacts.study import STUDY
    from pipeline.studies.result import caption, table, write
    from pipeline.studies.study import perform

    folder = out / build.name
    with shown(ctx, as_json) as display:
        found = perform(build, Store(store), folder, display, workers, cluster, until)
    page = write(found, folder)
    if as_json:
        print_json(STUDY.plain(found))
        return
    say(caption(found))
    print_table(table(found))
    for note in found.notes:
        say(note)
    say(f"written: {page}")
