"""Losses on the logits of student and teacher, or on their softened probabilities, sample by sample."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from common.errors import ConfigError
from common.settings import NotNegative, Share
from models.distill.method import Distillation, Need, Signals, Temperature, WithHardLabels
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

CONSTANT = 1e-14
"""Values whose squared distances from their mean sum to less count as equal."""

STEPS = 2**30
"""Parts of the training that `PermutedDarkKnowledge` tells apart."""


def ensemble_target(teacher: Tensor, temperature: float) -> Tensor:
    """From logits (members, batch, classes) to logs of their mean softened probabilities (batch, classes)."""
    return F.log_softmax(teacher / temperature, dim=-1).logsumexp(dim=0) - math.log(len(teacher))


def divergence(log_target: Tensor, student: Tensor, temperature: float) -> Tensor:
    """KL(target || student softened by T), the mean over the batch; both (batch, classes)."""
    log_student = F.log_softmax(student / temperature, dim=-1)
    return F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)


def standardized(logits: Tensor) -> Tensor:
    """Z-scores over the classes of each sample: mean 0 and variance 1; 0 where all are equal."""
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / root(centred.square().mean(dim=-1, keepdim=True))


def root(squares: Tensor) -> Tensor:
    """Square roots to divide by: 1 in place of next to nothing, whose gradient would have no bound."""
    return torch.where(squares > CONSTANT, squares, 1.0).sqrt()


class Softened(WithHardLabels):
    """A loss at one temperature T."""

    temperature: float

    def at_temperature(self, temperature: float) -> Distillation:
        """Give this loss at another temperature."""
        changed: dict[str, Any] = {"temperature": temperature}
        return replace(self, **changed)


class SoftTarget(Softened):
    """T^2 KL(target || student at T): the factor keeps the gradient's size over T."""

    @abstractmethod
    def _log_target(self, signals: Signals) -> Tensor:
        """Give the target's log-probabilities at T, (batch, classes)."""

    def _logits(self, signals: Signals) -> Tensor:
        return signals.student

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        soft = divergence(self._log_target(signals), self._logits(signals), self.temperature)
        return {"soft": (1.0, self.temperature**2 * soft)}


@dataclass(frozen=True)
class SoftenedSoftmax(SoftTarget):
    """Match the teacher's softened class probabilities: T^2 KL(target || student at T).

    Attributes:
        temperature: T.
        hard_label_weight: share of the labels' cross-entropy.
        mean: of the members' probabilities at T; the geometric mean is scaled to sum 1 (softmax of mean
            logits).
        member_weights: one a member, of which only the ratios count; equal if not given.
    """

    method: ClassVar[str] = "softened-softmax"
    paper: ClassVar[str] = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"

    temperature: Temperature = 4.0
    hard_label_weight: Share = 0.1
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    member_weights: tuple[NotNegative, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.member_weights and not sum(self.member_weights):
            raise ConfigError(f"{self.method}: member_weights are all 0; give one above 0, or none at all")

    def check_members(self, members: int) -> None:
        """Check that each member has a weight, where there are weights."""
        if self.member_weights and len(self.member_weights) != members:
            raise ConfigError(
                f"{self.method}: {len(self.member_weights)} member_weights for a teacher of {members} "
                "members; give one for each, or none"
            )

    def _log_target(self, signals: Signals) -> Tensor:
        teacher = signals.teacher
        self.check_members(len(teacher))
        if self.mean == "arithmetic" and not self.member_weights:
            return ensemble_target(teacher, self.temperature)
        weights = self.member_weights or (1.0,) * len(teacher)
        shares = torch.tensor(weights, dtype=teacher.dtype, device=teacher.device)[:, None, None]
        shares = shares / math.fsum(weights)
        if self.mean == "geometric":
            return F.log_softmax((shares * teacher).sum(dim=0) / self.temperature, dim=-1)
        return (F.log_softmax(teacher / self.temperature, dim=-1) + shares.log()).logsumexp(dim=0)


@dataclass(frozen=True)
class Sqakd(SoftTarget):
    """Quantization-aware training by the teacher's softened probabilities alone, without labels.

    T^2 KL(mean of the members' probabilities at T || student at T), so there are no weights to balance; T = 4
    as in the authors' code. The paper quantizes a copy of the teacher and starts from its weights; this
    student is another, smaller network. The paper also lessens the rounding error by EWGS (arXiv:2104.00903);
    this student's gradients pass straight through the rounding.
    """

    method: ClassVar[str] = "sqakd"
    paper: ClassVar[str] = "Zhao, Zhao 2024, AISTATS, arXiv:2403.11106"

    temperature: Temperature = 4.0

    def _log_target(self, signals: Signals) -> Tensor:
        return ensemble_target(signals.teacher, self.temperature)


@dataclass(frozen=True)
class LogitStandardization(SoftTarget):
    """Match softened probabilities of Z-scores, so that the student's logits may have their own size.

    Z(v) = (v - mean) / deviation over the classes of each sample, of the student and of each member:
    T^2 KL(mean of the members' softmax(Z / T) || softmax(Z / T)). The labels' cross-entropy alone gives the
    student's logits their size.

    Attributes:
        temperature: T, the paper's base temperature.
        hard_label_weight: share of the labels' cross-entropy.
    """

    method: ClassVar[str] = "logit-standardization"
    paper: ClassVar[str] = "Sun et al. 2024, arXiv:2403.01427"

    temperature: Temperature = 2.0
    hard_label_weight: Share = 0.1

    def _log_target(self, signals: Signals) -> Tensor:
        return ensemble_target(standardized(signals.teacher), self.temperature)

    def _logits(self, signals: Signals) -> Tensor:
        return standardized(signals.student)


@dataclass(frozen=True)
class LogitMatching(WithHardLabels):
    """Regression on the mean of the members' logits: half the mean squared difference over batch and classes.

    Both sides are first centred to mean 0 over the classes of each sample, since softmax ignores a shift.
    `SoftenedSoftmax` tends to this loss as its temperature grows (arXiv:1503.02531, section 2.1).
    """

    method: ClassVar[str] = "logit-matching"
    paper: ClassVar[str] = "Ba, Caruana 2014, arXiv:1312.6184"

    hard_label_weight: Share = 0.0

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        target = signals.teacher.mean(dim=0)
        target = target - target.mean(dim=-1, keepdim=True)
        centred = signals.student - signals.student.mean(dim=-1, keepdim=True)
        return {"soft": (0.5, F.mse_loss(centred, target))}


@dataclass(frozen=True)
class ConfidenceWeighted(Distillation):
    """Cross-entropy with the labels, each sample weighted by the teacher's confidence (CWTM, section 3.3).

    With w_s the greatest class probability that the teacher gives sample s, right or wrong, the mean over its
    members: sum_s w_s CE(y_s, student) / sum_s w_s over the batch.
    """

    method: ClassVar[str] = "confidence-weighted"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"
    needs = frozenset[Need]({"teacher", "labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the weighted cross-entropy."""
        weights = F.softmax(signals.teacher, dim=-1).mean(dim=0).amax(dim=-1)  # (batch,)
        hard = F.cross_entropy(signals.student, signals.labels, reduction="none")
        return {"weighted": (weights * hard).sum() / weights.sum()}


@dataclass(frozen=True)
class PermutedDarkKnowledge(Softened):
    """The teacher's probabilities, shuffled among all classes but its first (DKPP, section 3.3).

    p is the mean of the members' probabilities at T. Its greatest stays in place, the others are permuted at
    random: this removes what they say of the likeness of classes, and keeps how sure the teacher is. The soft
    term is T^2 KL(permuted p || student at T).

    Attributes:
        temperature: T.
        hard_label_weight: share of the labels' cross-entropy.
        fixed: keep each sample's permutation for the whole training; otherwise each step draws another.
    """

    method: ClassVar[str] = "permuted-dark-knowledge"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"

    temperature: Temperature = 1.0
    hard_label_weight: Share = 0.0
    fixed: bool = False

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        target = self._permuted(ensemble_target(signals.teacher, self.temperature), signals)
        return {"soft": (self.temperature**2, divergence(target, signals.student, self.temperature))}

    def _permuted(self, values: Tensor, signals: Signals) -> Tensor:
        """Shuffle `values` (batch, classes), the greatest of each row stays."""
        batch, classes = values.shape
        rows = torch.arange(batch) if signals.rows is None else signals.rows
        step = 0 if self.fixed else round(signals.progress * STEPS)
        keys = _noise(rows[:, None] * classes + torch.arange(classes, device=rows.device), step)
        greatest = values.argmax(dim=1, keepdim=True)
        # Two orders of the classes that both begin with the greatest: by index, and at random.
        indices = torch.arange(classes, device=rows.device).expand(batch, -1)
        in_order = indices.scatter(1, greatest, -1).argsort(dim=1)
        at_random = keys.scatter(1, greatest, -1).argsort(dim=1)
        return values.scatter(1, in_order, values.gather(1, at_random))


def _noise(numbers: Tensor, step: int) -> Tensor:
    """Hash each whole number to another below 2^31, the same in every run: two rounds of mixing on 32 bits.

    With a generator the loss would depend on the order in which it is asked.
    """
    mixed = (numbers + step * 0x9E3779B9) & 0xFFFFFFFF
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 0x7FFFFFFF
