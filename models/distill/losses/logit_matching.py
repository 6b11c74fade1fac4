"""Logit mimicry (arXiv:1312.6184)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.distill.losses.hinton import hard_term
from models.distill.method import Distillation, Need, Signals, require_share
from models.lazy import F

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LogitMatching(Distillation):
    """Regression on the teacher's logits.

    The target is the mean of the members' logits. Student and target are both centred to mean zero over the
    classes of each sample, since softmax ignores a shift; the soft term is half the mean squared difference
    over batch and classes, to which `SoftenedSoftmax` tends as its temperature grows (section 2.1 of
    arXiv:1503.02531).

    Raises:
        ConfigError: weight outside 0..1.
    """

    method: ClassVar[str] = "logit-matching"
    paper: ClassVar[str] = "Ba, Caruana 2014, arXiv:1312.6184"

    hard_label_weight: float = 0.0

    def __post_init__(self) -> None:
        require_share(self.method, hard_label_weight=self.hard_label_weight)

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        target = signals.teacher.mean(dim=0)
        target = target - target.mean(dim=-1, keepdim=True)
        centred = signals.student - signals.student.mean(dim=-1, keepdim=True)
        return {
            "soft": (1 - self.hard_label_weight) * 0.5 * F.mse_loss(centred, target),
            **hard_term(signals, self.hard_label_weight),
        }
