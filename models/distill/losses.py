"""Distillation methods behind one interface: from student and teacher logits to named loss terms.

A new method is a frozen dataclass that derives from `Distillation`, and a line in `METHODS`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from pipeline.errors import ConfigError


class Distillation(ABC):
    """A distillation loss. Its terms come weighted: their sum is what training minimizes."""

    @abstractmethod
    def terms(self, student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms, each a scalar, a mean over the batch.

        Args:
            student: student logits (batch, classes).
            teacher: logits of each member of the ensemble (members, batch, classes).
            labels: int64 (batch,).
        """

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Sum the terms: a scalar."""
        return torch.stack(list(self.terms(student, teacher, labels).values())).sum()

    def at_temperature(self, temperature: float) -> "Distillation":
        """Give this loss at another temperature; itself, if it has none.

        Raises:
            ConfigError: temperature not above 0.
        """
        return self


@dataclass(frozen=True)
class HardLabels(Distillation):
    """No distillation: cross-entropy with the labels. The baseline of the other methods."""

    def terms(self, student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the cross-entropy; `teacher` is not looked at."""
        return {"hard": F.cross_entropy(student, labels)}


@dataclass(frozen=True)
class SoftenedSoftmax(Distillation):
    """Hinton, Vinyals and Dean 2015 (arXiv:1503.02531): match the teacher's softened class probabilities.

    The teacher's target is the arithmetic mean of its members' probabilities at the temperature T. The soft
    term, T^2 KL(target || student at T), keeps its gradient's size over T; it and the cross-entropy with the
    labels weigh `1 - hard_label_weight` and `hard_label_weight`.

    Raises:
        ConfigError: temperature not above 0, or weight outside 0..1.
    """

    temperature: float = 4.0
    hard_label_weight: float = 0.1

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"softened-softmax: temperature is {self.temperature}; give a number above 0")
        _check_weight("softened-softmax", self.hard_label_weight)

    def terms(self, student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        members = len(teacher)
        log_target = F.log_softmax(teacher / self.temperature, dim=-1).logsumexp(dim=0) - math.log(members)
        log_student = F.log_softmax(student / self.temperature, dim=-1)
        divergence = F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)
        return {
            "soft": (1 - self.hard_label_weight) * self.temperature**2 * divergence,
            "hard": self.hard_label_weight * F.cross_entropy(student, labels),
        }

    def at_temperature(self, temperature: float) -> "SoftenedSoftmax":
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)


@dataclass(frozen=True)
class LogitMatching(Distillation):
    """Ba and Caruana 2014 (arXiv:1312.6184): regression on the teacher's logits.

    The target is the mean of the members' logits. Student and target are both centred to mean zero over the
    classes of each sample, since softmax ignores a shift; the soft term is half the mean squared difference
    over batch and classes, to which `SoftenedSoftmax` tends as its temperature grows (section 2.1 of
    arXiv:1503.02531).

    Raises:
        ConfigError: weight outside 0..1.
    """

    hard_label_weight: float = 0.0

    def __post_init__(self) -> None:
        _check_weight("logit-matching", self.hard_label_weight)

    def terms(self, student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        target = teacher.mean(dim=0)
        target = target - target.mean(dim=-1, keepdim=True)
        centred = student - student.mean(dim=-1, keepdim=True)
        return {
            "soft": (1 - self.hard_label_weight) * 0.5 * F.mse_loss(centred, target),
            "hard": self.hard_label_weight * F.cross_entropy(student, labels),
        }


@dataclass(frozen=True)
class WeightedSum(Distillation):
    """Several losses at once, each times its weight.

    Raises:
        ConfigError: no losses, or a weight not above 0.
    """

    parts: tuple[tuple[float, Distillation], ...]

    def __post_init__(self) -> None:
        if not self.parts or not all(weight > 0 for weight, _ in self.parts):
            weights = [weight for weight, _ in self.parts]
            raise ConfigError(f"distill: the losses weigh {weights}; give at least one, all above 0")

    def terms(self, student: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the terms of all parts, numbered from 0 and named after their method."""
        weighted = {}
        for index, (weight, part) in enumerate(self.parts):
            for name, term in part.terms(student, teacher, labels).items():
                weighted[f"{index}.{type(part).__name__}.{name}"] = weight * term
        return weighted

    def at_temperature(self, temperature: float) -> "WeightedSum":
        """Give these losses at another temperature, those that have one."""
        return WeightedSum(tuple((weight, part.at_temperature(temperature)) for weight, part in self.parts))


METHODS: dict[str, type[Distillation]] = {
    "softened-softmax": SoftenedSoftmax,
    "logit-matching": LogitMatching,
    "hard-labels": HardLabels,
}


def _check_weight(method: str, weight: float) -> None:
    if not 0 <= weight <= 1:
        raise ConfigError(f"{method}: hard_label_weight is {weight}; give a number from 0 to 1")
