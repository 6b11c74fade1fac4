"""FINN at work: its settings and its build folder, for as long as it is needed; its failures."""

import contextlib
import os
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from common.errors import LoweringError, RetortError

_THEIRS = ("finn", "qonnx")


@contextlib.contextmanager
def finn_session(log: Path) -> Iterator[Path]:
    """FINN's settings and its build folder, which is given, for this block only; its prints go to `log`."""
    before = os.environ.get("FINN_BUILD_DIR")
    with (
        tempfile.TemporaryDirectory(prefix="retort-finn-") as folder,
        log.open("a") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        os.environ["FINN_BUILD_DIR"] = folder
        try:
            from finn.util.settings import initialize_dummy_settings

            initialize_dummy_settings()
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["FINN_BUILD_DIR"]
            else:
                os.environ["FINN_BUILD_DIR"] = before


@contextlib.contextmanager
def finn_failures(what: str, log: Path) -> Iterator[None]:
    """FINN's failures, bare exceptions of every kind, as `LoweringError`; `what` says what it was at.

    An exception that no line of FINN's or qonnx's was part of stays what it is: it is not theirs.
    """
    try:
        yield
    except RetortError:
        raise
    except Exception as error:
        if not _of_finn(error):
            raise
        raise LoweringError(f"{what} with {error!r:.300}; see {log}") from error


def _of_finn(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__")).split(".")[0] in _THEIRS for frame, _ in frames)
