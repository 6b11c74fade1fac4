"""Tables: comma-separated values under a line of column names."""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.samples import MAX_VALUE, Samples, Source

MAX_CATEGORIES = 256
"""Of a column of text, since a value of a sample is a byte; as many classes may there be."""


def read_table(
    paths: Mapping[str, Path], label: str, categorical: tuple[str, ...] = (), leave_out: tuple[str, ...] = ()
) -> Source:
    """Read the file at `paths["table"]`: float64 (n, columns), labels, and no test part.

    Args:
        paths: the file, as `table`.
        label: the column of the classes; they count in the order of their names, numbers in theirs.
        categorical: columns whose numbers are names of categories. Those of text are found out.
        leave_out: columns that are not read, such as running numbers.

    A column of numbers stays as it is, to be scaled by its range on the training part. A column of text
    becomes the codes of its categories, 0, 1, ... in the order of their names, whose range is that of the
    whole file: it spreads them over a byte.

    Raises `DataError`: no such file, an unknown column, an empty cell, numbers mixed with text, a column of
    one value or of more than 256 categories; names file, line and column.
    """
    path = paths["table"]
    names, lines, rows = _rows(path)
    for key, wanted in (("label", (label,)), ("categorical", categorical), ("leave_out", leave_out)):
        for name in wanted:
            _check_name(path, key, name, names)
    cells = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for name in names:
        if name not in leave_out:
            _check_filled(path, name, lines, cells[name])
    classes, y = _codes(f"{path}: label column '{label}'", cells.pop(label))
    values: list[NDArray[np.float64]] = []
    ranges: dict[int, tuple[float, float]] = {}
    for name in (name for name in cells if name not in leave_out):
        where = f"{path}: column '{name}'"
        numbers = None if name in categorical else _numbers(path, name, lines, cells[name])
        if numbers is None:
            count, codes = _codes(where, cells[name])
            ranges[len(values)] = (0.0, float(count - 1))
            numbers = codes.astype(np.float64)
        elif numbers.min() == numbers.max():
            raise DataError(f"{where} has one value only, {numbers[0]:g}; name it in `leave_out`")
        values.append(numbers)
    if not values:
        raise DataError(f"{path}: has no column beside the label; give the attributes of the samples")
    return Source(classes, Samples(np.stack(values, axis=1), y), None, ranges)


def _rows(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """Column names, and all rows that are not empty, with the number of the line that each ends on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise DataError(
            f"{path}: cannot be read ({cause}); give a UTF-8 file of comma-separated values"
        ) from cause
    if len(found) < 2:
        raise DataError(f"{path}: has no rows; give a line of column names, then a line a sample")
    names = found[0][1]
    counts = Counter(names)
    for name in names:
        if not name or counts[name] > 1:
            what = f"'{name}' twice" if name else "one without a name"
            raise DataError(f"{path}: among its columns is {what}; give every column a name of its own")
    for line, row in found[1:]:
        if len(row) != len(names):
            raise DataError(
                f"{path}, line {line}: {len(row)} cells, the header names {len(names)} columns; give one each"
            )
    return names, [line for line, _ in found[1:]], [row for _, row in found[1:]]


def _check_name(path: Path, key: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
        raise DataError(f"{path}: {key}: no column '{name}'; {hint}")


def _check_filled(path: Path, name: str, lines: Sequence[int], cells: Sequence[str]) -> None:
    if "" in cells:
        line = lines[cells.index("")]
        raise DataError(
            f"{path}, line {line}: column '{name}' is empty; fill it in, take out the line, "
            "or name the column in `leave_out`"
        )


def _numbers(path: Path, name: str, lines: Sequence[int], cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The numbers of a column; None for a column of text."""
    parsed = [_number(cell) for cell in cells]
    if all(value is None for value in parsed):
        return None
    for line, cell, value in zip(lines, cells, parsed, strict=True):
        if value is None or not abs(value) <= MAX_VALUE:  # NaN as well
            raise DataError(
                f"{path}, line {line}: column '{name}' is '{cell[:40]}' among numbers; give a finite number, "
                "or name the column in `categorical`"
            )
    return np.array(parsed, np.float64)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python's own spelling, no table's
    except ValueError:
        return None


def _codes(where: str, cells: Sequence[str]) -> tuple[int, NDArray[np.int64]]:
    """How many categories there are, and the place of each cell's among them, (n,)."""
    known = set(cells)
    if len(known) == 1:
        raise DataError(
            f"{where} has one value only, '{cells[0][:40]}'; give another column, or leave it out"
        )
    if len(known) > MAX_CATEGORIES:
        raise DataError(
            f"{where} has {len(known)} categories, a byte has {MAX_CATEGORIES}; put some together, "
            "or give another column"
        )
    numbers = {cell: _number(cell) for cell in known}
    numeric = all(value is not None and math.isfinite(value) for value in numbers.values())
    ordered = sorted(known, key=lambda cell: (numbers[cell] if numeric else 0.0, cell))
    code = {cell: place for place, cell in enumerate(ordered)}
    return len(known), np.array([code[cell] for cell in cells], np.int64)
