"""How far an imported network is from what hardware makes of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import Integers
from hw.interface import Affine

Floats = NDArray[np.floating[Any]]

STEP = 1 + 1e-3
"""Beyond this many steps of golden's outputs is more than one: float32 loses the rest."""
_SATURATED = {"Sigmoid": 1e-4, "Softmax": 1e-30, "LogSoftmax": 1e-30}
"""Nearer to 0 or 1, float32 no longer tells what was before."""


@dataclass(frozen=True)
class Difference:
    """A network against its integer reference on some frames.

    The network's outputs are `scale * integer + offset`, which lowering knows: nothing is fitted. One step is
    one of the integers.

    Attributes:
        frames: how many were compared.
        agreement: the share of frames with the same class, or of one output the same sign; frames that tie in
            the reference are left out, unless the network gives a class that is not among the tied. None
            where all tie.
        tied_frames: on how many the reference gives several classes the same, largest output.
        apart: the share of frames with an output more than one step apart.
        largest_error: of any output.
        scale, offset: of the reference's integers.
    """

    frames: int
    agreement: float | None
    tied_frames: int
    apart: float
    largest_error: float
    scale: float
    offset: float


def between(outputs: Floats, integers: Integers, meaning: Affine, end: str = "") -> Difference:
    """A network's outputs against the integers of its reference, both (n, outputs).

    `meaning` is the floats that the integers stand for. `end` is the operator, if any, behind which the
    outputs were taken, and which the reference leaves out: values are compared before it.
    """
    assert outputs.shape == integers.shape and len(outputs), f"{outputs.shape} with {integers.shape}"
    reference = meaning.scale * integers.astype(np.float64) + meaning.offset
    before = _before(outputs.astype(np.float64), end)
    largest = np.abs(_error(before, reference, end)).max(axis=1)
    agreement, tied = _agreement(before, reference)
    return Difference(
        frames=len(outputs),
        agreement=agreement,
        tied_frames=tied,
        apart=float(np.mean(~(largest <= STEP * meaning.scale))),  # NaN is apart
        largest_error=float(largest.max()),
        scale=meaning.scale,
        offset=meaning.offset,
    )


def _before(outputs: Floats, end: str) -> Floats:
    """What was before the last operator; for softmax, up to a number that all classes of a frame share."""
    if end == "Sigmoid":
        least = _SATURATED[end]
        shares = outputs.clip(least, 1 - least)
        return np.asarray(np.log(shares / (1 - shares)))
    return np.asarray(np.log(outputs.clip(_SATURATED[end]))) if end == "Softmax" else outputs


def _error(before: Floats, reference: Floats, end: str) -> Floats:
    """Differences (n, outputs) as far as the last operator lets them through."""
    if end == "Sigmoid":
        most = np.log(1 / _SATURATED[end] - 1)
        return np.asarray(before - reference.clip(-most, most))
    if end in _SATURATED:
        least = np.log(_SATURATED[end])
        top = reference.max(axis=1, keepdims=True)
        shares = reference - top - np.log(np.exp(reference - top).sum(axis=1, keepdims=True))
        found = before.clip(least) - shares.clip(least)
        return np.asarray(found - (found.max(axis=1, keepdims=True) + found.min(axis=1, keepdims=True)) / 2)
    return np.asarray(before - reference)


def _agreement(before: Floats, reference: Floats) -> tuple[float | None, int]:
    """The share of frames that agree in class or sign, and how many tie in the reference."""
    if reference.shape[1] == 1:
        tied = reference[:, 0] == 0
        wrong = ~(before[:, 0] * reference[:, 0] >= 0)
    else:
        first = reference == reference.max(axis=1, keepdims=True)
        tied = first.sum(axis=1) > 1
        wrong = ~np.take_along_axis(first, before.argmax(axis=1)[:, None], axis=1)[:, 0]
    compared = int((~tied | wrong).sum())
    return (1 - float(wrong.sum()) / compared if compared else None), int(tied.sum())
