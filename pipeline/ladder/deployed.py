"""The rung on a board that is reached by SSH, with FINN's package."""

from pathlib import Path

from hw.host.deployment import ASK_SECONDS, Target, execute, find_package
from pipeline.ladder.artefacts import Artefacts, Finding, compare, varied


def reach(target: Target, log: Path) -> None:
    """Log in to the board, and no more; raises `LinkError`."""
    target.remote.run("true", log=log, what="looking", timeout=ASK_SECONDS)


def deployed(artefacts: Artefacts, target: Target) -> Finding:
    """The accelerator on the board against golden, and how fast the board is.

    Raises `LinkError` by what went wrong with the board, `StoreError` where the folder holds no package.
    """
    package = find_package(artefacts.folder, artefacts.interface)
    expected = artefacts.expected()
    rows = varied(expected, target.samples or len(expected))
    x = artefacts.frames[rows]
    ran = execute(target, package, x, artefacts.log)
    metrics = {**ran.measured, "package": package.digest, "sent": ran.sent}
    return compare("golden", expected[rows], ran.outputs, rows, **metrics)
