"""Losses that ask no teacher: labels, smoothed labels, a virtual teacher, and a cost of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from common.settings import Fraction, Positive, Share
from models.distill.losses.logits import SoftTarget
from models.distill.method import Distillation, Need, Signals, Temperature
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class HardLabels(Distillation):
    """Cross-entropy with the labels, without distillation: the baseline of the other methods."""

    method: ClassVar[str] = "hard-labels"
    paper: ClassVar[str] = "none: the baseline"
    needs = frozenset[Need]({"labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        return {"hard": F.cross_entropy(signals.student, signals.labels)}


@dataclass(frozen=True)
class LabelSmoothing(Distillation):
    """Cross-entropy with smoothed labels, (1 - smoothing) one-hot + smoothing / classes."""

    method: ClassVar[str] = "label-smoothing"
    paper: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567"
    needs = frozenset[Need]({"labels"})

    smoothing: Share = 0.1

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        loss = F.cross_entropy(signals.student, signals.labels, label_smoothing=self.smoothing)
        return {"smoothed": loss}


@dataclass(frozen=True)
class VirtualTeacher(SoftTarget):
    """Match the softened probabilities of a virtual teacher that is always right (Tf-KD_reg).

    It gives the true class the probability `correct` (the paper's a), and each other class
    (1 - correct) / (classes - 1); at the temperature T, the softmax of their logarithms over T. The soft term
    is T^2 KL(virtual teacher at T || student at T). The paper writes no T^2; its code leaves the student at
    temperature 1 and tunes a factor. With T = 1 this is label smoothing, up to a constant.
    """

    method: ClassVar[str] = "virtual-teacher"
    paper: ClassVar[str] = "Yuan et al. 2020, arXiv:1909.11723"
    needs = frozenset[Need]({"labels"})

    temperature: Temperature = 20.0
    correct: Fraction = 0.99
    hard_label_weight: Share = 0.9

    def _log_target(self, signals: Signals) -> Tensor:
        student, classes = signals.student, signals.student.shape[-1]
        is_true = F.one_hot(signals.labels, classes).bool()
        logs = torch.full_like(student, math.log((1 - self.correct) / (classes - 1)))
        logs = logs.masked_fill(is_true, math.log(self.correct))
        return F.log_softmax(logs / self.temperature, dim=-1)


@dataclass(frozen=True)
class WeightCost(Distillation):
    """Biased weight decay: a mean cost a weight, 0 to 1, that drives small weights to 0, not large ones.

    It stands beside another loss; its `weight` is the strength. With u = |w| / scale:

    - quadratic: u^2 / (1 + u^2) (Rumelhart 1987; weight elimination, Weigend et al., NIPS 1990)
    - hyperbolic: u / (1 + u)
    - exponential: 1 - exp(-u)

    Attributes:
        cost: its form.
        scale: what counts as a large weight, before quantization.
        over: single weights, or the sum of |w| into an output channel (Hanson and Pratt), which empties
            channels.
    """

    method: ClassVar[str] = "weight-cost"
    paper: ClassVar[str] = "Hanson, Pratt 1988, NIPS 1"
    tasks: ClassVar[frozenset[str] | None] = None
    whole: ClassVar[bool] = False
    needs = frozenset[Need]()

    cost: Literal["quadratic", "hyperbolic", "exponential"] = "quadratic"
    scale: Positive = 0.1
    over: Literal["weights", "units"] = "weights"

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the mean cost over all layers."""
        weights = signals.weights.values()
        sizes = [weight.abs().flatten(1) / self.scale for weight in weights]  # (outputs, fan in)
        if self.over == "units":
            sizes = [size.sum(dim=1) for size in sizes]
        return {self.cost: self._cost(torch.cat([size.flatten() for size in sizes])).mean()}

    def _cost(self, u: Tensor) -> Tensor:
        match self.cost:
            case "quadratic":
                return u**2 / (1 + u**2)
            case "hyperbolic":
                return u / (1 + u)
            case "exponential":
                return 1 - torch.exp(-u)
