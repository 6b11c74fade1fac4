"""How networks compare with labels and with each other. Numpy is loaded at its first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.lazy import np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Logits: TypeAlias = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class FreezeReport:
    """What freezing changed on a split: the trained float student against the integer network.

    Attributes:
        samples: how many were compared.
        differing_activations: activations of any layer that differ, over all samples.
        differing_logits: logits that differ, over all samples.
        score_before: of the trained student, 0 to 1.
        score_after: of the integer network, 0 to 1.
    """

    samples: int
    differing_activations: int
    differing_logits: int
    score_before: float
    score_after: float


def accuracy(scores: Logits, labels: NDArray[np.int64]) -> float:
    """Share of samples whose largest score (n, classes), the first of equals, is their label (n,)."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def agreement(first: Logits, second: Logits) -> float:
    """Share of samples that two networks, by their scores (n, classes), give the same class."""
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def softened(logits: Logits, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax over the last axis of `logits` over `temperature`, in float64."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def combine(logits: Logits, temperature: float = 1.0) -> NDArray[np.float64]:
    """Combine an ensemble's logits (members, n, classes) to probabilities (n, classes).

    The arithmetic mean of the members' probabilities at `temperature`, as in arXiv:1503.02531.
    """
    return np.asarray(softened(logits, temperature).mean(axis=0))


def divergence(target: NDArray[np.float64], probabilities: NDArray[np.float64]) -> float:
    """Mean over the samples of KL(target || probabilities), both (n, classes), in nats."""
    tiny = np.finfo(np.float64).tiny
    ratio = np.log(np.maximum(target, tiny)) - np.log(np.maximum(probabilities, tiny))
    return float(np.mean(np.sum(target * ratio, axis=1)))


def best_offset(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], label: int) -> float:
    """What to add to the logits (n, classes) of class `label` for the most right answers, by labels (n,).

    0 where nothing is better, and no tie with the class hangs on it; else the middle of the best range, of
    several the nearest to 0.
    """
    others = logits.copy()
    others[:, label] = -np.inf
    # The class wins a sample once more than its margin is added.
    margins = others.max(axis=1) - logits[:, label]
    gains = np.where(labels == label, 1, -(others.argmax(axis=1) == labels).astype(np.int64))
    steps, places = np.unique(margins, return_inverse=True)
    right = np.concatenate([[0.0], np.cumsum(np.bincount(places, weights=gains))])
    if 0.0 not in steps and right[np.searchsorted(steps, 0.0)] == right.max():
        return 0.0
    bounds = np.concatenate([[steps[0] - 1], steps, [steps[-1] + 1]])
    middles = ((bounds[:-1] + bounds[1:]) / 2)[right == right.max()]
    return float(middles[np.abs(middles).argmin()])
