"""The ladder of a built folder, climbed again."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from common.errors import DiskError, LinkError, RetortError, StoreError
from common.files import log_file, unmentioned
from common.terminal import Step
from hw.boards.boards import find
from hw.host.deployment import ASK_SECONDS, Target
from hw.host.host import Link
from hw.shells.protocol import design_identity
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.engine.lock import BuiltFolder, keep
from pipeline.ladder.climbing import Ladder, climb, hardware_stage
from pipeline.ladder.hardware import deployed
from pipeline.ladder.result import RungResult

LOG = Path("logs") / "verify.log"


def verify_folder(
    ladder: Ladder, built: BuiltFolder, step: Step, port: str | None = None, target: Target | None = None
) -> list[Rung]:
    """Climb the ladder again over a built folder, with a board on `port` or at `target`, or the virtual one.

    A board that cannot be reached, or holds another build, is found first: no rung is climbed then, and
    the row of rung `board` has the error.

    Raises `StoreError` where the folder was built without anything for a board.
    """
    key = _key(built)
    with _log(built.folder) as (log, rows):
        error = _unreachable(built, log, port, target)
        if error:
            skipped = RungResult(
                None, "", skipped="not climbed: the board cannot be reached, or holds another build"
            )
            results = dict.fromkeys(ladder.rungs(built.config, reached=target is not None), skipped)
            results |= {"board": RungResult(False, "golden", error=error)}
            rows += [found.row(name, 0.0, key, ()) for name, found in results.items()]
        else:
            rows += climb(ladder, built.config, built.folder, key, log, step, port, target).rungs
    return rows


def climb_board(ladder: Ladder, built: BuiltFolder, target: Target, log: Path, step: Step) -> Rung:
    """Climb the last rung alone, on a board reached by SSH; what goes wrong with the board is in the row.

    Raises `StoreError` where the folder was built without a package for the board.
    """
    key, began = _key(built), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        artefacts = ladder.artefacts(built.config, built.folder, Path(scratch), log, step, target=target)
        try:
            found = deployed(artefacts)
        except LinkError as error:
            found = RungResult(False, "golden", error=error)
    return found.row("board", time.monotonic() - began, key, ("ssh",))


def record(folder: Path, found: Rung) -> None:
    """Put `found` into `verification.json` in place of its rung's; the next build writes the file anew.

    Raises `StoreError`: the file cannot be read. Raises `DiskError`: it cannot be written.
    """
    rungs = VERIFICATION.load(folder) if (folder / VERIFICATION.name).exists() else ()
    others = tuple(found if each.rung == found.rung else each for each in rungs)
    content = others if found in others else (*others, found)
    keep(folder, VERIFICATION.name, VERIFICATION.text(content).encode())


def reach(built: BuiltFolder, port: str) -> None:
    """Ask the board on a port whether it holds the folder's core; raises `LinkError`."""
    with Link(port, find(built.config.board.name).baud) as link:
        link.expect(design_identity((built.folder / "core.v").read_bytes()))


def _unreachable(built: BuiltFolder, log: Path, port: str | None, target: Target | None) -> LinkError | None:
    """What is wrong with the board, if one is asked for, before anything is climbed."""
    try:
        if port:
            reach(built, port)
        elif target:
            target.remote.run("true", log=log, what="looking", timeout=ASK_SECONDS)
    except LinkError as error:
        return error
    return None


@contextmanager
def _log(folder: Path) -> Iterator[tuple[Path, list[Rung]]]:
    """A log in the folder's `logs/`, where that can be written, and the rows that may name it.

    Where it cannot, the log is gone afterwards, and no row names it.
    """
    rows: list[Rung] = []
    try:
        log = log_file(folder.resolve() / LOG)
    except DiskError:
        with tempfile.TemporaryDirectory(prefix="retort-log-") as name:
            try:
                yield Path(name) / LOG.name, rows
            except RetortError as error:
                error.args = (unmentioned(str(error), Path(name)),)
                raise
        rows[:] = [_unmentioned(rung, Path(name)) for rung in rows]
    else:
        log.write_bytes(b"")  # what an earlier run left
        yield log, rows


def _unmentioned(rung: Rung, folder: Path) -> Rung:
    """A rung that names no log in a `folder` that is gone."""
    first = rung.first_mismatch and unmentioned(rung.first_mismatch, folder)
    error = rung.error and replace(rung.error, message=unmentioned(rung.error.message, folder))
    return replace(rung, first_mismatch=first, error=error)


def _key(built: BuiltFolder) -> str:
    """What names a build in its results."""
    stage = hardware_stage(built.keys)
    if stage is None:
        raise StoreError(f"{built.folder}: built without a bitstream; run retort build to its end")
    return built.keys[stage]
