"""`compare.html`, the same tables as `compare.md`, and `compare.json` with all numbers."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from common.files import write_atomic

PAGE, TEXT, DATA = "compare.html", "compare.md", "compare.json"


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write all three into a build's folder, and say where the page is."""
    write_atomic(folder / DATA, (json.dumps(found, indent=1) + "\n").encode())
    write_atomic(folder / TEXT, markdown(found).encode())
    write_atomic(folder / PAGE, render(found).encode())
    return folder / PAGE


def render(found: dict[str, Any]) -> str:
    """The page of what `compare` found: a table for each bit width, intervals drawn on one scale."""
    from pipeline.report.render import environment

    tables = [(bits, list(rows)) for bits, rows in groupby(found["rows"], key=lambda row: row["bits"])]
    reach = max(abs(row["difference"]["mean"]) + row["difference"]["interval"] for row in found["rows"])
    lines = environment().get_template("compare.html.j2").render(found=found, tables=tables, reach=reach)
    return "\n".join(line.rstrip() for line in lines.splitlines() if line.strip()) + "\n"


def markdown(found: dict[str, Any]) -> str:
    """The tables as Markdown: of each method the accuracy and the difference to none, at all widths.

    Bold where the difference's interval excludes 0.
    """
    widths = list(dict.fromkeys(row["bits"] for row in found["rows"]))
    by_method: dict[str, dict[int | None, dict[str, Any]]] = {}
    for row in found["rows"]:
        by_method.setdefault(row["method"], {})[row["bits"]] = row
    heads = [f"{bits} bits" if bits else "as built" for bits in widths]
    lines = [
        _caption(found),
        "",
        f"| method | {' | '.join(heads)} | {' | '.join(f'{head}, to none' for head in heads)} | ms a step |",
        "| --- |" + " --- |" * (2 * len(heads) + 1),
    ]
    for method, rows in by_method.items():
        accuracies = [_interval(rows[bits]["accuracy"]) for bits in widths]
        differences = [_difference(rows[bits]) for bits in widths]
        pace = f"{1000 * min(row['seconds_per_step'] for row in rows.values()):.1f}"
        lines.append(f"| {' | '.join([method, *accuracies, *differences, pace])} |")
    lines += [f"\nLeft out: {reason}" for reason in found["left_out"].values()]
    return "\n".join(lines) + "\n"


def _caption(found: dict[str, Any]) -> str:
    """How the table was made."""
    plan, tools = found["plan"], [f"{name} {what.split()[0]}" for name, what in found["tools"].items()]
    samples = f" on {plan['samples']} samples" if plan["samples"] else ""
    return (
        f"{found['build']}: {plan['seeds']} students of each method, {found['epochs']} epochs{samples};"
        f" teacher {found['teacher_accuracy']:.2%}. Made with {', '.join(tools)}."
    )


def _difference(row: dict[str, Any]) -> str:
    """In points; bold where the interval excludes 0."""
    if row["verdict"] == "none":
        return ""
    text = _interval(row["difference"], "+")
    return text if row["verdict"] == "open" else f"**{text}**"


def _interval(value: dict[str, float], sign: str = "") -> str:
    return f"{100 * value['mean']:{sign}.2f} ± {100 * value['interval']:.2f}"
