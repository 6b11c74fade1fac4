"""Softened softmax with temperature and hard labels (arXiv:1503.02531), and training without a teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from common.errors import ConfigError
from models.distill.losses.softening import divergence, ensemble_target
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
class LabelSmoothing(Distillation):
    """No distillation: cross-entropy with smoothed labels, (1 - smoothing) one-hot + smoothing / classes.

    Raises:
        ConfigError: smoothing outside 0..1.
    """

    method: ClassVar[str] = "label-smoothing"
    paper: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567"

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        require_share(self.method, smoothing=self.smoothing)

    @property
    def needs(self) -> frozenset[Need]:
        """No teacher."""
        return frozenset({"labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        loss = F.cross_entropy(signals.student, signals.labels, label_smoothing=self.smoothing)
        return {"smoothed": loss}


@dataclass(frozen=True)
class SoftenedSoftmax(Distillation):
    """Match the teacher's softened class probabilities.

    The target is the mean of the members' probabilities at the temperature T, arithmetic or geometric (of
    unit sum again: the softmax of their mean logits), weighted by `member_weights`, of which only the ratios
    count; none are equal ones. The soft term, T^2 KL(target || student at T), keeps its gradient's size over
    T; it and the cross-entropy with the labels weigh `1 - hard_label_weight` and `hard_label_weight`.

    Raises:
        ConfigError: temperature not above 0, weight outside 0..1, or members' weights below 0 or all 0.
    """

    method: ClassVar[str] = "softened-softmax"
    paper: ClassVar[str] = "Hinton, Vinyals, Dean 2015, arXiv:1503.02531"

    temperature: float = 4.0
    hard_label_weight: float = 0.1
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    member_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_share(self.method, hard_label_weight=self.hard_label_weight)
        if self.mean not in ("arithmetic", "geometric"):
            raise ConfigError(f"{self.method}: mean is {self.mean!r}; give 'arithmetic' or 'geometric'")
        require_not_negative(
            self.method, **{f"member_weights[{at}]": each for at, each in enumerate(self.member_weights)}
        )
        if self.member_weights and not sum(self.member_weights):
            raise ConfigError(f"{self.method}: member_weights are all 0; give one above 0, or none at all")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def check_members(self, members: int) -> None:
        """Check that each member has a weight, where there are weights."""
        if self.member_weights and len(self.member_weights) != members:
            raise ConfigError(
                f"{self.method}: {len(self.member_weights)} member_weights for a teacher of {members} "
                "members; give one for each, or none"
            )

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        soft = divergence(self._log_target(signals.teacher), signals.student, self.temperature)
        return {
            "soft": (1 - self.hard_label_weight) * soft,
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> SoftenedSoftmax:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)

    def _log_target(self, teacher: Tensor) -> Tensor:
        """The ensemble's log-probabilities (batch, classes) of logits (members, batch, classes)."""
        self.check_members(len(teacher))
        if self.mean == "arithmetic" and not self.member_weights:
            return ensemble_target(teacher, self.temperature)
        weights = self.member_weights or (1.0,) * len(teacher)
        shares = torch.tensor(weights, dtype=teacher.dtype, device=teacher.device)[:, None, None]
        shares = shares / math.fsum(weights)
        if self.mean == "geometric":
            return F.log_softmax((shares * teacher).sum(dim=0) / self.temperature, dim=-1)
        return (F.log_softmax(teacher / self.temperature, dim=-1) + shares.log()).logsumexp(dim=0)


def hard_term(signals: Signals, weight: float) -> dict[str, Tensor]:
    """The labels' cross-entropy times `weight`, named `hard`; nothing where it weighs nothing."""
    return {"hard": weight * F.cross_entropy(signals.student, signals.labels)} if weight else {}
