"""Writes the map in `CONTRIBUTING.md` from the packages' docstrings: `python -m tests.docs.rooms`."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
START, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"
PACKAGES = ("common", "models", "hw", "pipeline", "retort")


def rooms() -> str:
    """A row for each package: the first sentence of its docstring."""
    rows = ["| folder | what lives there |", "| --- | --- |"]
    for top in PACKAGES:
        for file in sorted((ROOT / top).rglob("__init__.py")):
            text = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").split())
            rows.append(f"| `{file.parent.relative_to(ROOT)}/` | {text.partition('. ')[0].rstrip('.')} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page with its map as it should be."""
    before, _, rest = PAGE.read_text().partition(START)
    return before + START + rooms() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
