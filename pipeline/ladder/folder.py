"""The ladder of a built folder, climbed again."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from common.errors import DiskError, LinkError, RetortError, StoreError
from common.files import log_file, unmentioned
from common.progress import Step
from hw.boards.boards import find
from hw.host.deployment import Target
from pipeline.artefacts.verification import Rung
from pipeline.engine.lock import BuiltFolder
from pipeline.ladder import chip
from pipeline.ladder.artefacts import Artefacts, Finding
from pipeline.ladder.climbing import climb, hardware_stage, row_of, rungs_of
from pipeline.ladder.deployed import deployed, reach
from pipeline.ladder.own import COMMANDS, climb_own, own_rungs, own_stage

LOG = Path("logs") / "verify.log"


def verify_folder(
    built: BuiltFolder, step: Step, port: str | None = None, target: Target | None = None
) -> list[Rung]:
    """Climb the ladder again over a built folder, with a board on `port` or at `target`, or the virtual one.

    A board that cannot be reached, or holds another build, is found first: no rung is climbed then, and
    the row of rung `board` has the error.

    Raises `StoreError` where nothing on a board could be like the folder.
    """
    folder, keys = built.folder, built.keys
    own = own_stage(keys)
    key = _key(keys)
    if key is None and (port or not own):
        command = f"{COMMANDS[own]}, without --no-bitstream" if own else "retort build to its end"
        raise StoreError(f"{folder}: built without a bitstream; run {command}")
    if own and target:
        raise StoreError(f"{folder}: a {own} has no package for a board by SSH; give the folder of a build")
    with _log(folder) as (log, rows):
        error = _unreachable(built, log, port, target)
        if error:
            rows += _not_climbed(built, error, str(key), reached=target is not None)
        elif own:
            rows += climb_own(built.config, folder, keys, log, step, port).rungs
        else:
            rows += climb(built.config, folder, str(key), log, step, port, target).rungs
    return rows


def climb_board(built: BuiltFolder, target: Target, log: Path, step: Step) -> Rung:
    """Climb the last rung alone, on a board reached by SSH; what goes wrong with the board is in the row.

    Raises `StoreError` where the folder was built without a package for the board.
    """
    key = _key(built.keys)
    if key is None:
        raise StoreError(f"{built.folder}: built without a bitstream; run retort build to its end")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        artefacts = Artefacts(built.config, built.folder, Path(scratch), log, step, target=target)
        try:
            found = deployed(artefacts, target)
        except LinkError as error:
            found = Finding(False, "golden", error=error)
    return row_of("board", found, time.monotonic() - began, key, ("ssh",))


def _unreachable(built: BuiltFolder, log: Path, port: str | None, target: Target | None) -> LinkError | None:
    """What is wrong with the board, if one is asked for, before anything is climbed."""
    try:
        if port:
            chip.reach(built.folder, find(built.config.board.name), port)
        elif target:
            reach(target, log)
    except LinkError as error:
        return error
    return None


def _not_climbed(built: BuiltFolder, error: LinkError, key: str, *, reached: bool) -> list[Rung]:
    """The rows of all rungs where the board's is in error."""
    if own_stage(built.keys):
        names = [*own_rungs(placed=True)]
    else:
        names = [name for rungs in rungs_of(built.config, reached=reached) for name in rungs]
    skipped = Finding(None, "", skipped="not climbed: the board cannot be reached, or holds another build")
    findings = dict.fromkeys(names, skipped) | {"board": Finding(False, "golden", error=error)}
    return [row_of(name, found, 0.0, key, ()) for name, found in findings.items()]


@contextmanager
def _log(folder: Path) -> Iterator[tuple[Path, list[Rung]]]:
    """What tools print goes to the folder's `logs/`, where that can be written; and the rows that name it.

    Where it cannot, the log is gone afterwards, and no row sends anybody there.
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
    """A rung that sends nobody to logs in a `folder` that is gone."""
    first = rung.first_mismatch and unmentioned(rung.first_mismatch, folder)
    error = rung.error and replace(rung.error, message=unmentioned(rung.error.message, folder))
    return replace(rung, first_mismatch=first, error=error)


def _key(keys: Mapping[str, str]) -> str | None:
    """What names a build in its findings; None where it ended before there was anything for a board."""
    try:
        return keys[hardware_stage(keys)]
    except KeyError:
        return None
