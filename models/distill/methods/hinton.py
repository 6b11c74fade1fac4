"""Softened softmax with temperature and hard labels (arXiv:1503.02531), and training without a teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Distillation, Need, Signals, require_above_zero, require_share
from models.lazy import F

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class HardLabels(Distillation):
    """No distillation: cross-entropy with the labels. The baseline of the other methods."""

    method: ClassVar[str] = "hard-labels"
    paper: ClassVar[str] = "none: the baseline"

    @property
    def needs(self) -> frozenset[Need]:
        """No teacher."""
        return frozenset({"labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        return {"hard": F.cross_entropy(signals.student, signals.labels)}


@dataclass(frozen=True)
class SoftenedSoftmax(Distillation):
    """Match the teacher's softened class probabilities.

    The teacher's target is the arithmetic mean of its members' probabilities at the temperature T. The soft
    term, T^2 KL(target || student at T), keeps its gradient's size over T; it and the cross-entropy with the
    labels weigh `1 - hard_label_weight` and `hard_label_weight`.

    Raises:
        ConfigError: temperature not above 0, or weight outside 0..1.
    """

    method: ClassVar[str] = "softened-softmax"
    paper: ClassVar[str] = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"

    temperature: float = 4.0
    hard_label_weight: float = 0.1

    def __post_init__(self) -> None:
        require_above_zero(self.method, temperature=self.temperature)
        require_share(self.method, hard_label_weight=self.hard_label_weight)

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        teacher, members = signals.teacher, len(signals.teacher)
        log_target = F.log_softmax(teacher / self.temperature, dim=-1).logsumexp(dim=0) - math.log(members)
        log_student = F.log_softmax(signals.student / self.temperature, dim=-1)
        divergence = F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)
        return {
            "soft": (1 - self.hard_label_weight) * self.temperature**2 * divergence,
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> SoftenedSoftmax:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)


def hard_term(signals: Signals, weight: float) -> dict[str, Tensor]:
    """The labels' cross-entropy times `weight`, named `hard`; nothing where it weighs nothing."""
    return {"hard": weight * F.cross_entropy(signals.student, signals.labels)} if weight else {}
