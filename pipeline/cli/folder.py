"""`retort verify`, `retort report`, `retort infer`, `retort flash`: what is done with a built folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from common.errors import ConfigError, StoreError, ToolMissingError
from common.files import log_file
from hw.boards.board import Board
from hw.boards.boards import find
from hw.tools import tools
from hw.tools.ssh import Remote
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.cli.app import AsJson, Folder, JunitFile, print_json, print_table, say, shown
from pipeline.engine.lock import BuiltFolder, open_built
from pipeline.ladder import junit

BITSTREAMS = (".bin", ".bit")


def verify(
    ctx: typer.Context,
    folder: Folder,
    junit_file: JunitFile = None,
    port: Annotated[
        str | None, typer.Option(help="Serial port of a real board that holds the build.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="PYNQ board by SSH (user@name, or a name of your ssh configuration).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Climb the verification ladder again, in a built folder."""
    if port and host:
        raise ConfigError("--port and --host: give one board")
    built = open_built(folder)
    if port:
        require_serial_link(built)
    from hw.host.deployment import Target
    from pipeline.ladder.climbing import failure
    from pipeline.ladder.folder import verify_folder
    from pipeline.students import student_of

    target = Target(Remote(host)) if host else None

    with shown(ctx, as_json) as display:
        rungs = verify_folder(student_of(built.config).ladder(), built, display.step, port, target)
    if junit_file:
        junit.write(junit_file, built.lock.build, rungs)
    if as_json:
        print_json(VERIFICATION.plain(tuple(rungs)))
    else:
        print_table(rung_rows(rungs))
    failed = failure(rungs, str(folder))
    if failed:
        raise failed


def require_serial_link(built: BuiltFolder) -> None:
    """Raise `ConfigError` where the build's chip has its streams on pins, and no serial link."""
    find(built.config.board.name).require_open()
    shell = built.config.board.shell
    if shell != "uart":
        raise ConfigError(
            f"{built.folder}: built with board.shell '{shell}', whose chip has no serial link;"
            " build it with shell 'uart'"
        )


def report(folder: Folder) -> None:
    """Write a built folder's report.html again."""
    open_built(folder)
    from pipeline.report import write_report

    say(str(write_report(folder)))


def flash(folder: Folder) -> None:
    """Load a built folder's bitstream into its board."""
    built = open_built(folder)
    board = find(built.config.board.name).require_open()
    bitstream = _bitstream(built)
    line = _programmer(board)
    log = log_file(folder / "logs" / "flash.log")
    tools.run(
        [*line, str(bitstream.resolve())], cwd=folder, log=log, what=f"{line[0]}, loading {bitstream.name}"
    )
    say(f"{bitstream} is in the {board.name}")


def rung_rows(rungs: Iterable[Rung]) -> list[tuple[str, str, str]]:
    """Rungs as rows of a table; what went wrong stands out."""
    loud = {"failed": "FAILED", "error": "ERROR"}
    return [(rung.rung, loud.get(rung.verdict, rung.verdict), rung.summary) for rung in rungs]


def _bitstream(built: BuiltFolder) -> Path:
    stage = built.lock.stages.get("bitstream")
    found = next((name for name in stage.files if name.endswith(BITSTREAMS)), None) if stage else None
    if found is None:
        raise StoreError(f"{built.folder}: no bitstream there; run `retort build` to its end")
    return built.folder / found


def _programmer(board: Board) -> tuple[str, ...]:
    for line in board.programmers:
        if tools.find(line[0]).locate():
            return line
    wanted = [tools.find(line[0]) for line in board.programmers]
    hints = "; or ".join(f"{tool.name}: {tool.hint}" for tool in wanted)
    raise ToolMissingError(f"no programmer for board '{board.name}' on this machine; {hints}")
