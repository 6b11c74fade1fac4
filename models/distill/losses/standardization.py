"""Logit standardization (arXiv:2403.01427)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.distill.losses.hinton import hard_term
from models.distill.losses.softening import divergence, ensemble_target, standardized
from models.distill.method import Distillation, Need, Signals, require_share, require_temperature

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LogitStandardization(Distillation):
    """Match softened probabilities of Z-scores: the student's logits need not be as large as the teacher's.

    Z(v) = (v - mean) / deviation over the classes of each sample, of the student and of each member. The soft
    term is T^2 KL(p || q) with q = softmax(Z / T) of the student, p the mean of the members' probabilities,
    likewise; `temperature` is the paper's base temperature. It does not see shifts and positive factors of
    any sample's logits; the labels' cross-entropy is what gives the student's logits their size.

    Raises:
        ConfigError: temperature not above 0, or weight outside 0..1.
    """

    method: ClassVar[str] = "logit-standardization"
    paper: ClassVar[str] = "Sun et al. 2024, arXiv:2403.01427"

    temperature: float = 2.0
    hard_label_weight: float = 0.1

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_share(self.method, hard_label_weight=self.hard_label_weight)

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        target = ensemble_target(standardized(signals.teacher), self.temperature)
        soft = divergence(target, standardized(signals.student), self.temperature)
        return {
            "soft": (1 - self.hard_label_weight) * soft,
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> LogitStandardization:
        """Give this loss at another base temperature."""
        return replace(self, temperature=temperature)
