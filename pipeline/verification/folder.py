"""The ladder of a built folder, climbed again."""

import tempfile
from pathlib import Path

from pipeline import config as configuration
from pipeline.errors import StoreError
from pipeline.outputs import read_lock
from pipeline.progress import Step
from pipeline.verification.ladder import Row, climb
from pipeline.verification.tree import climb_tree


def verify_folder(folder: Path, step: Step, port: str | None = None) -> list[Row]:
    """Climb the ladder again over a built folder, with the board on `port`, or the virtual one.

    Raises `StoreError` where the folder is no build's, or nothing on a board could be like it.
    """
    lock = read_lock(folder)
    try:
        config = configuration.parse(lock["config"], str(folder))
        keys = {name: str(stage["key"]) for name, stage in lock["stages"].items()}
    except KeyError as error:
        raise StoreError(f"{folder}: built without {error}; run retort build to its end") from error
    tree = "tree" in keys
    if "bitstream" not in keys and (port or not tree):
        command = "retort tree, without --no-bitstream" if tree else "retort build to its end"
        raise StoreError(f"{folder}: built without a bitstream; run {command}")
    with tempfile.TemporaryDirectory(prefix="retort-log-") as logs:
        log = Path(logs) / "verification.log"
        if tree:
            return climb_tree(config, folder, keys, log, step, port).rungs
        return climb(config, folder, keys["bitstream"], log, step, port).rungs
