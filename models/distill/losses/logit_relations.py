"""Losses on how predictions relate: true class to the rest, class to class, sample to sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import MinLen

from common.settings import NotNegative, Share
from models.distill.losses.logits import Softened, divergence, ensemble_target, root, standardized
from models.distill.method import Need, Signals, Temperature, WithHardLabels
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DecoupledKd(Softened):
    """Match apart from each other: the true class's probability, and how the rest spreads over the others.

    With p and q the ensemble's mean and the student's probabilities at the temperature T, b = (p_true,
    1 - p_true), and p' = p over the other classes, of unit sum again (q likewise), all (batch, ...):

        target_class = alpha T^2 KL(b_p || b_q)        other_classes = beta T^2 KL(p' || q')

    Plain distillation is alpha = 1 and beta = 1 - p_true, which is next to nothing where the teacher is sure.
    The paper adds the labels' cross-entropy with weight 1: a `hard_label_weight` of 0.5, up to a factor.

    Attributes:
        warmup: share of the training over which both terms rise linearly, as beta may be large.
        standardize: take Z-scores of the logits (arXiv:2403.01427).
    """

    method: ClassVar[str] = "decoupled-kd"
    paper: ClassVar[str] = "Zhao et al. 2022, arXiv:2203.08679"
    some_of: ClassVar[tuple[str, ...]] = ("alpha", "beta")
    needs = frozenset[Need]({"teacher", "labels"})

    temperature: Temperature = 4.0
    alpha: NotNegative = 1.0
    beta: NotNegative = 8.0
    hard_label_weight: Share = 0.5
    warmup: Share = 0.08
    standardize: bool = False

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
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
        scale = rise * self.temperature**2
        return {
            "target_class": (scale * self.alpha, divergences[0]),
            "other_classes": (scale * self.beta, divergences[1]),
        }


def _split(logs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """From log-probabilities (batch, classes): true class and rest (batch, 2), the others by themselves."""
    is_true = F.one_hot(labels, logs.shape[-1]).bool()
    others = logs[~is_true].view(len(logs), -1)
    rest = others.logsumexp(dim=-1, keepdim=True)
    return torch.cat([logs[is_true][:, None], rest], dim=-1), others - rest


@dataclass(frozen=True)
class Dist(Softened):
    """Match relations between predictions, not the predictions: Pearson's correlation r in place of KL.

    With P and Q (batch, classes) the ensemble's mean and the student's probabilities at the temperature:

        inter_class = beta mean over samples i of 1 - r(P[i], Q[i])
        intra_class = gamma mean over classes j of 1 - r(P[:, j], Q[:, j])

    Scaling and shifting a row (or column) of Q changes no r. A constant one has r = 0. The paper adds the
    labels' cross-entropy with weight 1: a `hard_label_weight` of 0.5, up to a factor. As in the paper, and
    unlike its code, no T^2: with growing T, r tends to the logits' own correlation.
    """

    method: ClassVar[str] = "dist"
    paper: ClassVar[str] = "Huang et al. 2022, arXiv:2205.10536"
    some_of: ClassVar[tuple[str, ...]] = ("beta", "gamma")

    temperature: Temperature = 4.0
    beta: NotNegative = 2.0
    gamma: NotNegative = 2.0
    hard_label_weight: Share = 0.5

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        target = ensemble_target(signals.teacher, self.temperature).exp()
        own = F.softmax(signals.student / self.temperature, dim=-1)
        return {
            "inter_class": (self.beta, (1 - correlation(target, own)).mean()),
            "intra_class": (self.gamma, (1 - correlation(target.T, own.T)).mean()),
        }


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each row (n, m) with the other's: (n,); 0 where one is constant."""
    first, second = (values - values.mean(dim=-1, keepdim=True) for values in (first, second))
    sizes = [root(values.square().sum(dim=-1)) for values in (first, second)]
    return (first * second).sum(dim=-1) / (sizes[0] * sizes[1])


@dataclass(frozen=True)
class MultiLevelLogits(WithHardLabels):
    """Match predictions, likeness of samples in a batch, and likeness of classes, at several temperatures.

    With P and Q (batch, classes) the ensemble's mean and the student's probabilities at the temperature T:

        instance = T^2 mean over samples of KL(P[i] || Q[i])
        batch    = |P P^T - Q Q^T|^2 / batch            (which samples look alike)
        class    = |P^T P - Q^T Q|^2 / classes          (which classes look alike)

    each times its weight, and the mean over the temperatures (the paper's sum, up to a factor). Of the
    paper's prediction augmentation these temperatures are kept. Left out is what only its code has: a second,
    strongly augmented image a sample, and masks that drop the surer half of the samples and classes.

    Attributes:
        standardize: take Z-scores of the logits (arXiv:2403.01427).
    """

    method: ClassVar[str] = "multi-level-logits"
    paper: ClassVar[str] = "Jin, Wang, Lin 2023, CVPR"
    some_of: ClassVar[tuple[str, ...]] = ("instance_weight", "batch_weight", "class_weight")

    temperatures: Annotated[tuple[Temperature, ...], MinLen(1)] = (2.0, 3.0, 4.0, 5.0, 6.0)
    instance_weight: NotNegative = 1.0
    batch_weight: NotNegative = 1.0
    class_weight: NotNegative = 1.0
    hard_label_weight: Share = 0.1
    standardize: bool = False

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        teacher, student = signals.teacher, signals.student
        if self.standardize:
            teacher, student = standardized(teacher), standardized(student)
        levels = torch.stack([_levels(teacher, student, each) for each in self.temperatures]).mean(dim=0)
        weights = (self.instance_weight, self.batch_weight, self.class_weight)
        return dict(zip(("instance", "batch", "class"), zip(weights, levels, strict=True), strict=True))

    def at_temperature(self, temperature: float) -> MultiLevelLogits:
        """Give this loss at one temperature alone."""
        return replace(self, temperatures=(temperature,))


def _levels(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """The divergence of instances, batch and classes at one temperature: (3,)."""
    log_target = ensemble_target(teacher, temperature)
    target, own = log_target.exp(), F.softmax(student / temperature, dim=-1)
    batch, classes = own.shape
    instances = temperature**2 * divergence(log_target, student, temperature)
    samples = (target @ target.T - own @ own.T).square().sum() / batch
    likeness = (target.T @ target - own.T @ own).square().sum() / classes
    return torch.stack([instances, samples, likeness])
