"""Distillation by correlation, from stronger teachers (arXiv:2205.10536)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.softening import ensemble_target, root
from models.distill.method import (
    Distillation,
    Need,
    Signals,
    require_not_negative,
    require_share,
    require_temperature,
)
from models.lazy import F

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Dist(Distillation):
    """Match relations between predictions, not the predictions: Pearson's correlation r in place of KL.

    With P and Q (batch, classes) the ensemble's mean and the student's probabilities at the temperature:

        inter_class = beta mean over samples i of 1 - r(P[i], Q[i])
        intra_class = gamma mean over classes j of 1 - r(P[:, j], Q[:, j])

    Each r stays as it is when a row (or column) of Q is scaled and shifted. A constant one has r = 0. The
    paper adds the labels' cross-entropy with weight 1: a `hard_label_weight` of 0.5, up to a factor of all.
    As in the paper, and unlike its code, no T^2: with growing T, r tends to the logits' own correlation.

    Raises:
        ConfigError: temperature not above 0, beta or gamma below 0 or both 0, weight outside 0..1.
    """

    method: ClassVar[str] = "dist"
    paper: ClassVar[str] = "Huang et al. 2022, arXiv:2205.10536"

    temperature: float = 4.0
    beta: float = 2.0
    gamma: float = 2.0
    hard_label_weight: float = 0.5

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_not_negative(self.method, beta=self.beta, gamma=self.gamma)
        require_share(self.method, hard_label_weight=self.hard_label_weight)
        if not self.beta + self.gamma:
            raise ConfigError(f"{self.method}: beta and gamma are 0; give one above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the inter-class, the intra-class and the hard term."""
        target = ensemble_target(signals.teacher, self.temperature).exp()
        own = F.softmax(signals.student / self.temperature, dim=-1)
        weight = 1 - self.hard_label_weight
        return {
            "inter_class": weight * self.beta * (1 - correlation(target, own)).mean(),
            "intra_class": weight * self.gamma * (1 - correlation(target.T, own.T)).mean(),
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> Dist:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each row (n, m) with the other's: (n,); 0 where one is constant."""
    first, second = (values - values.mean(dim=-1, keepdim=True) for values in (first, second))
    sizes = [root(values.square().sum(dim=-1)) for values in (first, second)]
    return (first * second).sum(dim=-1) / (sizes[0] * sizes[1])
