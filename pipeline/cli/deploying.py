"""`retort deploy`: a build's package on a PYNQ board, proven there, and how fast it is."""

from pathlib import Path
from typing import Annotated

import typer

from common.files import log_file
from hw.tools.ssh import Remote
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.cli.app import AsJson, Folder, JunitFile, print_json, print_table, shown
from pipeline.engine.lock import open_built
from pipeline.ladder import junit

LOG = Path("logs") / "deploy.log"


def deploy(
    ctx: typer.Context,
    folder: Folder,
    host: Annotated[str, typer.Option(help="The board: user@name, or a name of your ssh configuration.")],
    port_ssh: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the board's SSH server.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Test frames to run, instead of all.")] = None,
    identity: Annotated[Path | None, typer.Option(help="Private key file.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="File of known hosts, instead of yours.")] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="ssh configuration, instead of yours.")] = None,
    board_folder: Annotated[
        str | None, typer.Option(help="Folder on the board for packages, instead of .retort.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the frames may take.")] = 120.0,
    junit_file: JunitFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a built folder's package to a PYNQ board, run the test frames there, compare with golden."""
    built = open_built(folder)
    from hw.host.deployment import FOLDER, Target
    from pipeline.ladder.climbing import failure
    from pipeline.ladder.folder import climb_board, record
    from pipeline.students import student_of

    remote = Remote(host, port_ssh, identity, known_hosts, ssh_config)
    target = Target(remote, samples, timeout, board_folder or FOLDER)
    log = log_file(folder.resolve() / LOG)
    with shown(ctx, as_json) as display:
        display.step("board", 0, 1)
        row = climb_board(student_of(built.config).ladder(), built, target, log, display.step)
        display.step("board", 1, 1)
    if row.error is None:
        record(folder, row)
    if junit_file:
        junit.write(junit_file, built.lock.build, [row])
    if as_json:
        print_json(VERIFICATION.plain((row,))[0])
    elif row.error is None:
        print_table(_table(row))
    failed = failure([row], f"{folder}, on {host}")
    if failed:
        raise failed


def _table(row: Rung) -> list[tuple[str, str]]:
    metrics = row.metrics
    return [
        ("package", "sent" if metrics["sent"] else "there already"),
        ("board", row.summary),
        ("accelerator", f"{metrics['frames_per_second']:,.0f} frames/s in batches of {metrics['batch']:,}"),
        ("latency", f"{metrics['latency_microseconds']:,.0f} microseconds, one frame"),
        (
            "with copies",
            f"{metrics['frames_per_second_with_copies']:,.0f} frames/s, driver '{metrics['driver']}'",
        ),
    ]
