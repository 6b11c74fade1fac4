"""Optuna's journal, a file that several processes may share: opened only where it is whole."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import ConfigError

PATIENCE = 1.0
"""Seconds that another process may take to finish a line."""

_FAILURES = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What Optuna raises on entries that do not follow from those before."""


@contextmanager
def journal(path: Path) -> Iterator[Any]:
    """The journal's storage; what Optuna makes of its entries in this block is an error of the file.

    Raises `ConfigError`: the file cannot be written, or is none of Optuna's, or not whole.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        _check(path)
        yield JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise ConfigError(f"size.journal: {path}: {error.strerror}; give another file") from error
    except _FAILURES as error:
        raise ConfigError(
            f"size.journal: {path}: damaged, or of another tool ({error!r:.100}); remove it, or give another"
        ) from error


def _check(path: Path) -> None:
    """Raise `ValueError` where a line is no entry."""
    until = time.monotonic() + PATIENCE
    while (content := path.read_bytes()) and not content.endswith(b"\n"):
        if time.monotonic() > until:
            raise ValueError("its last line is cut off")
        time.sleep(PATIENCE / 10)
    for number, line in enumerate(content.splitlines(), 1):
        entry = json.loads(line)
        if not isinstance(entry, dict) or type(entry.get("op_code")) is not int:
            raise ValueError(f"line {number} is no entry")
