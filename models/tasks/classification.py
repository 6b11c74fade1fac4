"""Classification: a logit for each class, the greatest is the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models import metrics
from models.distill.losses import HardLabels, LabelSmoothing
from models.lazy import np
from models.tasks.base import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.data import Dataset, Split
    from models.distill.method import Distillation
    from models.metrics import Logits


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes for a sample; labels are int64 (n,)."""

    kind: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy"

    def outputs(self, shape: tuple[int, ...], classes: int) -> int:
        """A logit for each class."""
        return classes

    def score(self, outputs: Logits, split: Split) -> float:
        """Accuracy: share of samples whose greatest logit, the first of equals, is their label's."""
        return metrics.accuracy(outputs, split.y)

    def chance(self, split: Split) -> float:
        """Share of the commonest class."""
        return float(np.bincount(split.y).max() / len(split))

    def combine(self, members: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The mean of the members' probabilities (arXiv:1503.02531)."""
        return metrics.combine(members)

    def differing(self, first: Logits, second: Logits) -> NDArray[np.bool_]:
        """Samples of two classes."""
        return np.asarray(first.argmax(axis=1) != second.argmax(axis=1))

    def wrong(self, outputs: Logits, split: Split) -> NDArray[np.bool_]:
        """Samples of another class than their label."""
        return np.asarray(outputs.argmax(axis=1) != split.y)

    def compare(self, outputs: Logits, teacher: NDArray[np.float64]) -> dict[str, float]:
        """Share of equal classes, and the divergence of the student's probabilities from the teacher's."""
        apart = metrics.divergence(teacher, metrics.softened(outputs))
        return {"agreement": self.agreement(outputs, teacher), "kl_divergence": apart}

    def describe(self, outputs: Logits, split: Split) -> dict[str, Any]:
        """The confusion matrix: a row for each label, a column for each answer."""
        confusion = np.zeros((outputs.shape[1],) * 2, np.int64)
        np.add.at(confusion, (split.y, outputs.argmax(axis=1)), 1)
        return {"confusion_matrix": confusion.tolist()}

    def labels_only(self, label_smoothing: float = 0.0) -> Distillation:
        """Cross-entropy with the labels, smoothed (arXiv:1512.00567) where that is asked for."""
        return LabelSmoothing(label_smoothing) if label_smoothing else HardLabels()

    def decoding(self, dataset: Dataset) -> dict[str, Any]:
        """The class is the place of the greatest value."""
        return {"task": self.kind, "classes": dataset.classes, "answer": "place of the greatest value"}


CLASSIFICATION = Classification()
