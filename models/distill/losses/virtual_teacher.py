"""Distillation without a teacher: a manually designed one, Tf-KD_reg (arXiv:1909.11723)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.softening import divergence
from models.distill.method import Distillation, Need, Signals, require_share, require_temperature
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class VirtualTeacher(Distillation):
    """Match the softened probabilities of a virtual teacher that is always right.

    It gives the true class the probability `correct`, the paper's a, and each other class
    (1 - correct) / (classes - 1). Softened by the temperature T, that is the softmax of its logarithms over
    T. The soft term T^2 KL(virtual teacher at T || student at T), as that of a real one, and the labels'
    cross-entropy weigh `1 - hard_label_weight` and `hard_label_weight`. The paper writes no T^2, and its
    code, which leaves the student at temperature 1, has a factor to be tuned instead. With T = 1 this is
    label smoothing, up to a constant.

    Raises:
        ConfigError: temperature not above 0, weight outside 0..1, or `correct` not between 0 and 1.
    """

    method: ClassVar[str] = "virtual-teacher"
    paper: ClassVar[str] = "Yuan et al. 2020, arXiv:1909.11723"

    temperature: float = 20.0
    correct: float = 0.99
    hard_label_weight: float = 0.9

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_share(self.method, hard_label_weight=self.hard_label_weight)
        if not 0 < self.correct < 1:
            raise ConfigError(f"{self.method}: correct is {self.correct}; give a number between 0 and 1")

    @property
    def needs(self) -> frozenset[Need]:
        """No teacher."""
        return frozenset({"labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        student, classes = signals.student, signals.student.shape[-1]
        is_true = F.one_hot(signals.labels, classes).bool()
        logs = torch.full_like(student, math.log((1 - self.correct) / (classes - 1)))
        logs = logs.masked_fill(is_true, math.log(self.correct))
        target = F.log_softmax(logs / self.temperature, dim=-1)
        return {
            "soft": (1 - self.hard_label_weight) * divergence(target, student, self.temperature),
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> VirtualTeacher:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)
