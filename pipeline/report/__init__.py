"""The report of a build: `report.html`, one page without scripts.

Imports `pipeline.artefacts` and `pipeline.engine`.
"""

from pathlib import Path

from pipeline.artefacts.folder import REPORT
from pipeline.engine.lock import keep
from pipeline.report.render import render

__all__ = ["REPORT", "render", "write_report"]


def write_report(folder: Path) -> Path:
    """Write `report.html` into a built folder, and say where; raises `StoreError` as `render` does."""
    return keep(folder, REPORT, render(folder).encode())
