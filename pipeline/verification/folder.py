"""The ladder of a built folder, climbed again."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hw.deployment import Target
from pipeline import config as configuration
from pipeline.config import Build
from pipeline.errors import StoreError
from pipeline.outputs import read_lock
from pipeline.progress import Step
from pipeline.verification.artefacts import Artefacts
from pipeline.verification.deployed import deployed
from pipeline.verification.ladder import Row, climb, hardware_stage, row_of
from pipeline.verification.own import COMMANDS, climb_own, own_stage


def verify_folder(
    folder: Path, step: Step, port: str | None = None, target: Target | None = None
) -> list[Row]:
    """Climb the ladder again over a built folder, with a board on `port` or at `target`, or the virtual one.

    Raises `StoreError` where the folder is no build's, or nothing on a board could be like it.
    """
    config, keys = _built(folder)
    own = own_stage(keys)
    key = _key(keys)
    if key is None and (port or not own):
        command = f"{COMMANDS[own]}, without --no-bitstream" if own else "retort build to its end"
        raise StoreError(f"{folder}: built without a bitstream; run {command}")
    if own and target:
        raise StoreError(f"{folder}: a {own} has no package for a board by SSH; give the folder of a build")
    with tempfile.TemporaryDirectory(prefix="retort-log-") as logs:
        log = Path(logs) / "verification.log"
        if own:
            return climb_own(config, folder, keys, log, step, port).rungs
        return climb(config, folder, str(key), log, step, port, target).rungs


def climb_board(folder: Path, target: Target, log: Path, step: Step) -> Row:
    """Climb the last rung alone, on a board reached by SSH.

    Raises `LinkError` where it cannot be climbed, `StoreError` where the folder is no build's, or holds no
    package for the board.
    """
    config, keys = _built(folder)
    key = _key(keys)
    if key is None:
        raise StoreError(f"{folder}: built without a bitstream; run retort build to its end")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        found = deployed(Artefacts(config, folder, Path(scratch), log, step, target=target), target)
    return row_of("board", found, time.monotonic() - began, key, ("ssh",))


def _key(keys: Mapping[str, str]) -> str | None:
    """What names a build in its findings; None where it ended before there was anything for a board."""
    try:
        return keys[hardware_stage(keys)]
    except KeyError:
        return None


def _built(folder: Path) -> tuple[Build, Mapping[str, str]]:
    """What a folder was built from, and its stages' keys."""
    lock = read_lock(folder)
    try:
        config = configuration.parse(lock["config"], str(folder))
        return config, {name: str(stage["key"]) for name, stage in lock["stages"].items()}
    except KeyError as error:
        raise StoreError(f"{folder}: built without {error}; run retort build to its end") from error
