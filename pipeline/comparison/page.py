"""`compare.html` and `compare.json`: one page without scripts, and all of its numbers."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.store import write_atomic

PAGE, DATA = "compare.html", "compare.json"


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write both files into a build's folder, and say where the page is."""
    write_atomic(folder / DATA, (json.dumps(found, indent=1) + "\n").encode())
    write_atomic(folder / PAGE, render(found).encode())
    return folder / PAGE


def render(found: dict[str, Any]) -> str:
    """The page of what `compare` found: a table for each bit width, intervals drawn on one scale."""
    from pipeline.report.render import environment

    tables = [(bits, list(rows)) for bits, rows in groupby(found["rows"], key=lambda row: row["bits"])]
    reach = max(abs(row["difference"]["mean"]) + row["difference"]["interval"] for row in found["rows"])
    lines = environment().get_template("compare.html.j2").render(found=found, tables=tables, reach=reach)
    return "\n".join(line.rstrip() for line in lines.splitlines() if line.strip()) + "\n"
