"""What was found on a board, put into the files of a build's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.store import write_atomic

FIGURES = ("frames_per_second", "frames_per_second_with_copies", "latency_microseconds", "batch", "driver")


def record(folder: Path, row: Mapping[str, Any]) -> None:
    """Put a row into `verification.json` in place of its rung's, and its pace into `performance.json`.

    The next build writes both anew. Raises `StoreError` where a file cannot be read.
    """
    path = folder / "verification.json"
    rows = _read(path, [])
    kept = [row if each["rung"] == row["rung"] else each for each in rows]
    _write(path, kept if row in kept else [*kept, row])
    path = folder / "performance.json"
    if path.exists():
        pace = {name: row["metrics"][name] for name in FIGURES}
        _write(path, {**_read(path, {}), row["rung"]: pace})


def _read(path: Path, empty: Any) -> Any:
    try:
        found = json.loads(path.read_bytes()) if path.exists() else empty
        if not isinstance(found, type(empty)):
            raise ValueError("of another form")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    return found


def _write(path: Path, content: Any) -> None:
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())
