"""What was found on a board, put into `verification.json` of a built folder."""

from pathlib import Path

from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.engine.lock import keep


def record(folder: Path, found: Rung) -> None:
    """Put `found` into `verification.json` in place of its rung's; the next build writes the file anew.

    Raises:
        StoreError: the file cannot be read.
        DiskError: it cannot be written.
    """
    rungs = VERIFICATION.load(folder) if (folder / VERIFICATION.name).exists() else ()
    others = tuple(found if each.rung == found.rung else each for each in rungs)
    content = others if found in others else (*others, found)
    keep(folder, VERIFICATION.name, VERIFICATION.text(content).encode())
