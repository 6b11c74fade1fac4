"""What the runs of a comparison come to: means, 95 % intervals, and differences paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Facts: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Interval:
    """A mean and half its 95 % interval by Student's t; `least` and `greatest` value."""

    mean: float
    interval: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Row:
    """A method at a bit width: accuracies and agreement 0 to 1, `difference` to no distillation by seed.

    `verdict` is better or worse where the difference's interval excludes 0, else open; none for the baseline.
    """

    method: str
    bits: int | None
    accuracy: Interval
    agreement: Interval
    difference: Interval
    seconds_per_step: float
    verdict: str


def summarize(values: NDArray[np.float64]) -> Interval:
    """Summarize at least two values."""
    from scipy import stats

    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return Interval(float(values.mean()), float(half), float(values.min()), float(values.max()))


def row(method: str, bits: int | None, runs: Sequence[Facts], baseline: Sequence[Facts]) -> Row:
    """Summarize a method's runs beside the baseline's of the same seeds, in the same order."""
    columns = {key: np.array([run[key] for run in runs]) for key in ("accuracy", "agreement")}
    plain = np.array([run["accuracy"] for run in baseline])
    difference = summarize(columns["accuracy"] - plain)
    verdict = "none" if runs is baseline else "open"
    if difference.interval < abs(difference.mean):
        verdict = "better" if difference.mean > 0 else "worse"
    return Row(
        method,
        bits,
        summarize(columns["accuracy"]),
        summarize(columns["agreement"]),
        difference,
        float(np.median([run["seconds_per_step"] for run in runs])),
        verdict,
    )


def rows(results: Sequence[Mapping[str, Any]], baseline: str) -> list[Row]:
    """Make the table: for each bit width the baseline, then the methods from the best to the worst."""
    grouped: dict[tuple[int | None, str], list[Facts]] = {}
    for result in results:
        grouped.setdefault((result["bits"], result["method"]), []).append(result)
    found = []
    for bits in dict.fromkeys(bits for bits, _ in grouped):
        plain = grouped[bits, baseline]
        mine = [row(method, bits, runs, plain) for (width, method), runs in grouped.items() if width == bits]
        found += sorted(mine, key=lambda each: (each.method != baseline, -each.accuracy.mean))
    return found
