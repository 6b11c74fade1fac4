"""Distillation of detectors: Chen et al., Learning Efficient Object Detection Models with Knowledge
Distillation (NeurIPS 2017), for a detector of one stage.

Sums over cells are divided by the number of cells with an object, as Liu et al. do (arXiv:1512.02325,
equation 1), for cells are not sampled as the paper's proposals are.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

from common.errors import ConfigError
from models.tasks.detection.grid import BACKGROUND, BOX


@dataclass(frozen=True)
class DetectionLoss:
    """The paper's loss; the default weights are the paper's where it gives any.

    Attributes:
        hard_label_weight: mu, the share of the labels in classification, 0 to 1; the rest is the teacher's.
        background_weight: w_0 of the weighted cross entropy with the teacher; objects weigh 1.
        temperature: of both softmaxes in it.
        box_weight: lambda, of the regression of boxes.
        bounded_weight: nu, of the teacher-bounded loss within it; 0 for none.
        margin: m, by which a box has to be better than the teacher's (in squared error) to go free.
        hint_weight: gamma, of the hint; 0 for none.
        hint_layer: the student's layer that the hint guides.

    Raises:
        ConfigError: a value out of range, or a hint without a layer.
    """

    hard_label_weight: float = 0.5
    background_weight: float = 1.5
    temperature: float = 1.0
    box_weight: float = 1.0
    bounded_weight: float = 0.5
    margin: float = 0.0
    hint_weight: float = 0.5
    hint_layer: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.hard_label_weight <= 1:
            raise ConfigError(
                f"detection: hard_label_weight is {self.hard_label_weight}; give a share of 0 to 1"
            )
        for key in ("temperature", "background_weight"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"detection: {key} is {getattr(self, key)}; give a number above 0")
        for key in ("box_weight", "bounded_weight", "margin", "hint_weight"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ConfigError(f"detection: {key} is {getattr(self, key)}; give a number of at least 0")
        if self.hint_weight and not self.hint_layer:
            raise ConfigError(
                "detection: a hint without a layer; name the student's as hint_layer, or give hint_weight 0"
            )

    @property
    def needs_teacher(self) -> bool:
        """Whether any term looks at the teacher."""
        return bool(self.hard_label_weight < 1 or self.bounded_weight or self.hint_weight)

    def terms(
        self, student: Tensor, teacher: Tensor | None, classes: Tensor, boxes: Tensor
    ) -> dict[str, Tensor]:
        """The terms of a batch but the hint's, weighted.

        Args:
            student: outputs (batch, cells, classes + 1 + 4).
            teacher: its outputs, of the same shape; None where none is needed.
            classes: int64 (batch, cells), `BACKGROUND` or more.
            boxes: encoded (batch, cells, 4); only those of cells with an object count.
        """
        objects = classes != BACKGROUND
        count = objects.sum().clamp(min=1)
        own, labels = student[..., :-BOX], classes.flatten()
        hard = F.cross_entropy(own.flatten(0, 1), labels, reduction="sum") / count
        found = {"labels": self.hard_label_weight * hard}
        given, wanted = student[..., -BOX:][objects], boxes[objects]
        found["boxes"] = self.box_weight * F.smooth_l1_loss(given, wanted, reduction="sum") / count
        if teacher is None:
            return found
        if self.hard_label_weight < 1:
            soft = weighted_cross_entropy(own, teacher[..., :-BOX], self.background_weight, self.temperature)
            found["teacher"] = (1 - self.hard_label_weight) * soft / count
        if self.bounded_weight:
            bounded = teacher_bounded(given, teacher[..., -BOX:][objects], wanted, self.margin)
            found["bounded"] = self.box_weight * self.bounded_weight * bounded / count
        return found

    def hint(self, guided: Tensor, teacher: Tensor) -> Tensor:
        """The weighted hint: the mean square difference of adapted student's and teacher's features."""
        return self.hint_weight * F.mse_loss(guided, teacher)


LABELS = DetectionLoss(hard_label_weight=1.0, bounded_weight=0.0, hint_weight=0.0)
"""Training without a teacher."""


def weighted_cross_entropy(student: Tensor, teacher: Tensor, background: float, temperature: float) -> Tensor:
    """L_soft = -sum of w_c P_t(c) log P_s(c) (equation 3), logits (..., classes), over all cells.

    w_c is `background` for class `BACKGROUND`, 1 for all others.
    """
    weights = torch.ones(student.shape[-1], dtype=student.dtype, device=student.device)
    weights[BACKGROUND] = background
    wanted = F.softmax(teacher / temperature, dim=-1)
    return -(weights * wanted * F.log_softmax(student / temperature, dim=-1)).sum()


def teacher_bounded(student: Tensor, teacher: Tensor, wanted: Tensor, margin: float) -> Tensor:
    """L_b (equation 4), encoded boxes (n, 4), over all n.

    The student's squared error of a box, where plus `margin` it exceeds the teacher's; else 0.
    """
    own, other = ((each - wanted).square().sum(dim=-1) for each in (student, teacher))
    return torch.where(own + margin > other, own, 0.0).sum()
