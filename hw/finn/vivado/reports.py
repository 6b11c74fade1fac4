"""Vivado's text reports: utilization, timing summary, power.

Formats: UG835 (Tcl commands), UG906 (timing) and UG907 (power). Columns are found by their headings, which
differ between families and years. A report without its figures is an error.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hw.implementation.bitstream import Use
from hw.tools.tools import reading

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """The design timing summary, in nanoseconds: worst and total slack of setup, hold and pulse width.

    `met` is Vivado's own verdict; `failing` counts endpoints of all three kinds.
    """

    wns_ns: float
    tns_ns: float
    whs_ns: float
    ths_ns: float
    wpws_ns: float
    tpws_ns: float
    failing: int
    met: bool


@dataclass(frozen=True)
class Power:
    """The power report's summary: watts, and Vivado's confidence in them."""

    total_w: float
    dynamic_w: float
    static_w: float
    confidence: str


# Names of the rows on 7 series, and on UltraScale and later; how many one counts; whether all chips have it.
_RESOURCES: Mapping[str, tuple[tuple[str, ...], int, bool]] = {
    "LUT": (("Slice LUTs", "CLB LUTs"), 1, True),
    "FF": (("Slice Registers", "CLB Registers"), 1, True),
    "BRAM_18K": (("Block RAM Tile",), 2, True),  # a tile is two halves of 18 kbit
    "URAM": (("URAM",), 1, False),
    "DSP": (("DSPs", "DSP Slices"), 1, True),
}


def read_utilization(path: Path) -> dict[str, Use]:
    """`report_utilization`'s counts under FINN's names: LUT, FF, BRAM_18K, URAM, DSP.

    Raises `ToolError` where the file is none.
    """
    return _read(path, "report_utilization", _utilization)


def _utilization(text: str) -> dict[str, Use]:
    rows = {name: use for table in _tables(text) for name, use in _uses(table)}
    found = {}
    for resource, (names, factor, needed) in _RESOURCES.items():
        for name in names:
            if name in rows:
                used, available = rows[name]
                found[resource] = Use(round(used * factor), round(available * factor))
        if needed and resource not in found:
            raise ValueError(f"no row {' or '.join(names)}")
    return found


def _uses(table: list[list[str]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Rows of a table with columns Used and Available; those of single SLRs have others."""
    header = table[0]
    if "Used" not in header or "Available" not in header:
        return
    used, available = header.index("Used"), header.index("Available")
    for row in table[1:]:
        if len(row) == len(header) and row[used] and row[available]:
            yield row[0].rstrip("*"), (_number(row[used]), _number(row[available]))


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no figure")
    return value


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Tables drawn with bars and dashes, as cells."""
    table: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif not line.startswith("+") and table:
            yield table
            table = []
    if table:
        yield table


_HEADING = re.compile(r"^\s*WNS\(ns\)\s+TNS\(ns\).*$", re.MULTILINE)
_MET = "All user specified timing constraints are met."
_MISSED = "Timing constraints are not met."


def read_timing(path: Path) -> Timing:
    """`report_timing_summary`'s figures; raises `ToolError` where there are none, or no clock was set."""
    return _read(path, "report_timing_summary", _timing)


def _timing(text: str) -> Timing:
    heading = _HEADING.search(text)
    if heading is None:
        raise ValueError("no design timing summary")
    figures = text[heading.end() :].strip().splitlines()[1].split()
    if len(figures) != 12:
        raise ValueError(f"{len(figures)} figures in the summary, not 12")
    if "NA" in figures:
        raise ValueError("no clock constrains the design")
    if (_MET in text) == (_MISSED in text):
        raise ValueError("no verdict on the timing constraints")
    wns, tns, whs, ths, wpws, tpws = (_number(figures[place]) for place in (0, 1, 4, 5, 8, 9))
    failing = sum(int(figures[place]) for place in (2, 6, 10))
    return Timing(wns, tns, whs, ths, wpws, tpws, failing, _MET in text)


_WATTS = {"Total On-Chip Power (W)", "Dynamic (W)", "Device Static (W)"}


def read_power(path: Path) -> Power:
    """`report_power`'s summary; raises `ToolError` where the file is none."""
    return _read(path, "report_power", _power)


def _power(text: str) -> Power:
    rows = {row[0]: row[1] for table in _tables(text) for row in table if len(row) == 2}
    missing = (_WATTS | {"Confidence Level"}) - rows.keys()
    if missing:
        raise ValueError(f"no row {', '.join(sorted(missing))}")
    # Beside a figure Vivado may note, in brackets, that the junction gets too hot.
    total, dynamic, static = (_number(rows[name].split()[0]) for name in sorted(_WATTS, reverse=True))
    return Power(total, dynamic, static, rows["Confidence Level"])


def _read(path: Path, command: str, parse: Callable[[str], T]) -> T:
    with reading(path, f"what Vivado's {command} writes"):
        return parse(path.read_text(errors="replace"))
