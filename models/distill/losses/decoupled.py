"""Decoupled knowledge distillation (arXiv:2203.08679)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.softening import ensemble_target, standardized
from models.distill.method import (
    Distillation,
    Need,
    Signals,
    require_not_negative,
    require_share,
    require_temperature,
)
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DecoupledKd(Distillation):
    """Match, apart from each other, the true class's probability, and how the rest is spread over the others.

    With p and q the ensemble's mean and the student's probabilities at the temperature T, b = (p_true,
    1 - p_true), and p' = p over the other classes, of unit sum again (q likewise), all (batch, ...):

        target_class = alpha T^2 KL(b_p || b_q)        other_classes = beta T^2 KL(p' || q')

    Plain distillation is alpha = 1 and beta = 1 - p_true, which is next to nothing where the teacher is sure.
    The paper adds the labels' cross-entropy with weight 1: a `hard_label_weight` of 0.5, up to a factor of
    all. Both terms rise linearly over the share `warmup` of the training, as beta may be large.
    `standardize` takes Z-scores of the logits (arXiv:2403.01427).

    Raises:
        ConfigError: temperature not above 0, alpha or beta below 0 or both 0, a share outside 0..1.
    """

    method: ClassVar[str] = "decoupled-kd"
    paper: ClassVar[str] = "Zhao et al. 2022, arXiv:2203.08679"

    temperature: float = 4.0
    alpha: float = 1.0
    beta: float = 8.0
    hard_label_weight: float = 0.5
    warmup: float = 0.08
    standardize: bool = False

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_not_negative(self.method, alpha=self.alpha, beta=self.beta)
        require_share(self.method, hard_label_weight=self.hard_label_weight, warmup=self.warmup)
        if not self.alpha + self.beta:
            raise ConfigError(f"{self.method}: alpha and beta are 0; give one above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels always: they say which class is the true one."""
        return frozenset({"teacher", "labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the target-class, the other-class and the hard term."""
        teacher, student = signals.teacher, signals.student
        if self.standardize:
            teacher, student = standardized(teacher), standardized(student)
        target = _split(ensemble_target(teacher, self.temperature), signals.labels)
        own = _split(F.log_softmax(student / self.temperature, dim=-1), signals.labels)
        divergences = [
            F.kl_div(mine, theirs, reduction="batchmean", log_target=True)
            for mine, theirs in zip(own, target, strict=True)
        ]
        rise = min(1.0, signals.progress / self.warmup) if self.warmup else 1.0
        scale = rise * (1 - self.hard_label_weight) * self.temperature**2
        return {
            "target_class": scale * self.alpha * divergences[0],
            "other_classes": scale * self.beta * divergences[1],
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> DecoupledKd:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)


def _split(logs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """From log-probabilities (batch, classes): true class and rest (batch, 2), the others by themselves."""
    is_true = F.one_hot(labels, logs.shape[-1]).bool()
    others = logs[~is_true].view(len(logs), -1)
    rest = others.logsumexp(dim=-1, keepdim=True)
    return torch.cat([logs[is_true][:, None], rest], dim=-1), others - rest
