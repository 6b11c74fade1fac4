"""What was found on a board, put into `verification.json` of a built folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import StoreError
from pipeline.engine.lock import keep

VERIFICATION = "verification.json"


def record(folder: Path, row: Mapping[str, Any]) -> None:
    """Put a row into `verification.json` in place of its rung's; the next build writes the file anew.

    Raises:
        StoreError: the file cannot be read.
        DiskError: it cannot be written.
    """
    path = folder / VERIFICATION
    try:
        rows = json.loads(path.read_bytes()) if path.exists() else []
        kept = [row if each["rung"] == row["rung"] else each for each in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    content = kept if row in kept else [*kept, row]
    keep(folder, VERIFICATION, (json.dumps(content, indent=2) + "\n").encode())
