"""Multi-level logit distillation (CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.softening import divergence, ensemble_target, standardized
from models.distill.method import (
    Distillation,
    Need,
    Signals,
    require_above_zero,
    require_not_negative,
    require_share,
)
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class MultiLevelLogits(Distillation):
    """Match predictions, likeness of samples in a batch, and likeness of classes, at several temperatures.

    With P and Q (batch, classes) the ensemble's mean and the student's probabilities at the temperature T:

        instance = T^2 mean over samples of KL(P[i] || Q[i])
        batch    = |P P^T - Q Q^T|^2 / batch            (which samples look alike)
        class    = |P^T P - Q^T Q|^2 / classes          (which classes look alike)

    each times its weight, and the mean over the temperatures (the paper's sum, but for a factor). Of the
    paper's prediction augmentation these temperatures are kept. Left out is what only its code has: a second,
    strongly augmented picture a sample, and masks that drop the surer half of the samples and classes.
    `standardize` takes Z-scores of the logits (arXiv:2403.01427).

    Raises:
        ConfigError: no temperatures, one not above 0, weights below 0 or all 0, a share outside 0..1.
    """

    method: ClassVar[str] = "multi-level-logits"
    paper: ClassVar[str] = "Jin, Wang, Lin 2023, CVPR"

    temperatures: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0, 6.0)
    instance_weight: float = 1.0
    batch_weight: float = 1.0
    class_weight: float = 1.0
    hard_label_weight: float = 0.1
    standardize: bool = False

    def __post_init__(self) -> None:
        if not self.temperatures:
            raise ConfigError(f"{self.method}: temperatures is empty; give at least one")
        require_above_zero(
            self.method, **{f"temperatures[{at}]": each for at, each in enumerate(self.temperatures)}
        )
        weights = {
            "instance_weight": self.instance_weight,
            "batch_weight": self.batch_weight,
            "class_weight": self.class_weight,
        }
        require_not_negative(self.method, **weights)
        require_share(self.method, hard_label_weight=self.hard_label_weight)
        if not any(weights.values()):
            raise ConfigError(f"{self.method}: {', '.join(weights)} are 0; give one above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the terms of the three levels and the hard term."""
        teacher, student = signals.teacher, signals.student
        if self.standardize:
            teacher, student = standardized(teacher), standardized(student)
        levels = torch.stack([_levels(teacher, student, each) for each in self.temperatures]).mean(dim=0)
        weight = 1 - self.hard_label_weight
        return {
            "instance": weight * self.instance_weight * levels[0],
            "batch": weight * self.batch_weight * levels[1],
            "class": weight * self.class_weight * levels[2],
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> MultiLevelLogits:
        """Give this loss at one temperature alone."""
        return replace(self, temperatures=(temperature,))


def _levels(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """The divergence of instances, batch and classes at one temperature: (3,)."""
    log_target = ensemble_target(teacher, temperature)
    target, own = log_target.exp(), F.softmax(student / temperature, dim=-1)
    batch, classes = own.shape
    instances = divergence(log_target, student, temperature)
    samples = (target @ target.T - own @ own.T).square().sum() / batch
    likeness = (target.T @ target - own.T @ own).square().sum() / classes
    return torch.stack([instances, samples, likeness])
