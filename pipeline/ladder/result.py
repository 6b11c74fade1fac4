"""The result of a rung, and how outputs are compared."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import RetortError, VerificationError
from hw.tools import tools
from pipeline.artefacts.verification import Rung, RungError


@dataclass(frozen=True)
class RungResult:
    """What a rung found. It was skipped where `passed` is None, for the reason `skipped`.

    `mismatches` counts the samples, of `samples`, on which the artefact differs from its reference; the first
    is number `differs_at`. `error` kept the rung from being climbed and says nothing about the artefact.
    Raises `VerificationError` where it passed and nothing was compared.
    """

    passed: bool | None
    against: str
    samples: int = 0
    mismatches: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    first_mismatch: str | None = None
    skipped: str | None = None
    differs_at: int | None = None
    error: RetortError | None = None

    def __post_init__(self) -> None:
        if self.passed and self.samples < 1:
            raise VerificationError(f"no sample was compared with {self.against}")

    def row(self, rung: str, seconds: float, key: str, needs: tuple[str, ...]) -> Rung:
        """The result as `verification.json` has it; `key` is the build's, `needs` names the tools."""
        return Rung(
            rung=rung,
            against=self.against,
            samples=self.samples,
            mismatches=self.mismatches,
            metrics=self.metrics,
            seconds=round(seconds, 3),
            passed=self.passed,
            key=key,
            tools={need: tools.find(need).require().version for need in needs},
            first_mismatch=self.first_mismatch,
            skipped=self.skipped,
            error=RungError.of(self.error) if self.error else None,
        )


def compare(
    against: str,
    expected: NDArray[Any],
    actual: NDArray[Any],
    rows: NDArray[np.intp] | None = None,
    **metrics: Any,
) -> RungResult:
    """Compare outputs `(n, outputs)` bit for bit; names the first mismatch with both values.

    `rows` are the numbers of the samples, by default 0, 1, ... Samples that all have the same expected
    outputs fail: an artefact that ignores its input would pass.
    """
    if expected.shape != actual.shape:
        text = f"outputs of shape {actual.shape}, expected {expected.shape}"
        return RungResult(False, against, len(expected), len(expected), metrics, text)
    differs = expected != actual
    bad = np.flatnonzero(differs.any(axis=1))
    first = sample = None
    if len(bad):
        sample = int(bad[0] if rows is None else rows[bad[0]])
        output = int(np.flatnonzero(differs[bad[0]])[0])
        first = (
            f"sample {sample}, output {output}: expected {expected[bad[0], output]},"
            f" got {actual[bad[0], output]}"
        )
    elif constant(expected):
        first = f"all {len(expected)} samples are expected to give the same, which proves nothing"
    return RungResult(first is None, against, len(expected), len(bad), metrics, first, differs_at=sample)


def constant(outputs: NDArray[Any]) -> bool:
    """Whether several samples `(n, outputs)` all have the same outputs."""
    return len(outputs) > 1 and bool((outputs == outputs[0]).all())


def varied(expected: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The numbers of the first `count` samples; another replaces the last where all would give the same."""
    rows = np.arange(min(count, len(expected)))
    others = np.flatnonzero((expected != expected[:1]).any(axis=1))
    if len(rows) > 1 and len(others) and others[0] >= len(rows):
        rows[-1] = others[0]
    return rows
