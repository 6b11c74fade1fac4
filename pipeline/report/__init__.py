"""The report of a build: `report.html`, self-contained."""

from pathlib import Path

from pipeline.report.data import REPORT
from pipeline.report.render import render as rendered
from pipeline.store import write_atomic


def write_report(folder: Path) -> Path:
    """Write `report.html` into a build's folder, and say where; raises `StoreError` as `render` does."""
    path = folder / REPORT
    write_atomic(path, rendered(folder).encode())
    return path
