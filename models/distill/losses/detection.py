"""Distillation of detectors: Chen et al., Learning Efficient Object Detection Models with Knowledge
Distillation (NeurIPS 2017), for a detector of one stage.

Sums over cells are divided by the number of cells with an object, as Liu et al. do (arXiv:1512.02325,
equation 1), for cells are not sampled as the paper's proposals are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.settings import NotNegative, Positive, Share
from models.distill.losses.logits import ensemble_target
from models.distill.method import Distillation, Need, Signals, Temperature
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Pairs, Shapes

BACKGROUND = 0
"""The class of a cell without object; class c of the data set is c + 1."""
BOX = 4
"""Values of a box."""


@dataclass(frozen=True)
class DetectionLoss(Distillation):
    """Classes and boxes of all cells, from labels and teacher, and a hint.

    Outputs are (batch, cells * (classes + 1 + 4)), labels float (batch, cells, 1 + 4): class and encoded box.
    The default weights are the paper's where it gives any.

    Attributes:
        hard_label_weight: mu, the share of the labels in classification, 0 to 1; the rest is the teacher's.
        background_weight: w_0 of the weighted cross entropy with the teacher; objects weigh 1.
        temperature: of both softmaxes in it.
        box_weight: lambda, of the regression of boxes.
        bounded_weight: nu, of the teacher-bounded loss within it; 0 for none.
        margin: m, by which a box has to be better than the teacher's (in squared error) to go free.
        hint_weight: gamma, of the hint, the mean square difference of features; 0 for none.
        pairs: a student's layers and the teacher's that guide them; the last of both where none are given.
    """

    method: ClassVar[str] = "detection"
    paper: ClassVar[str] = "Chen, Choi, Yu, Han, Chandraker 2017, NeurIPS"
    tasks: ClassVar[frozenset[str] | None] = frozenset({"detection"})

    hard_label_weight: Share = 0.5
    background_weight: Positive = 1.5
    temperature: Temperature = 1.0
    box_weight: NotNegative = 1.0
    bounded_weight: NotNegative = 0.5
    margin: NotNegative = 0.0
    hint_weight: NotNegative = 0.5
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Labels; the teacher and features only where they weigh."""
        teacher: set[Need] = {"teacher"} if self.hard_label_weight < 1 or self.bounded_weight else set()
        return frozenset({"labels", *teacher, *({"features"} if self.hint_weight else ())})

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """A regressor for each hint."""
        if not self.hint_weight:
            return None
        from models.distill.losses.adapters import Paired, Regressor

        pairs: Pairs = (
            shapes.pairs(self.pairs, self.method) if self.pairs else (shapes.last((), self.method),)
        )
        return Paired(pairs, (Regressor(shapes.student[own], shapes.teacher[other]) for own, other in pairs))

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the terms; only boxes of cells with an object count."""
        classes, boxes = signals.labels[..., 0].long(), signals.labels[..., 1:]
        student = signals.student.view(*classes.shape, -1)
        objects = classes != BACKGROUND
        count = objects.sum().clamp(min=1)
        own, given, wanted = student[..., :-BOX], student[..., -BOX:][objects], boxes[objects]
        hard = F.cross_entropy(own.flatten(0, 1), classes.flatten(), reduction="sum") / count
        found = {
            "labels": self.hard_label_weight * hard,
            "boxes": self.box_weight * F.smooth_l1_loss(given, wanted, reduction="sum") / count,
        }
        if "teacher" in self.needs:
            teacher = signals.teacher.view(len(signals.teacher), *student.shape)
        if self.hard_label_weight < 1:
            target = ensemble_target(teacher[..., :-BOX], self.temperature).exp()
            soft = weighted_cross_entropy(own, target, self.background_weight, self.temperature)
            found["teacher"] = (1 - self.hard_label_weight) * soft / count
        if self.bounded_weight:
            other = teacher[..., -BOX:].mean(dim=0)[objects]
            bounded = teacher_bounded(given, other, wanted, self.margin)
            found["bounded"] = self.box_weight * self.bounded_weight * bounded / count
        if self.hint_weight:
            found["hint"] = self.hint_weight * self._hint(signals, adapters)
        return found

    def _hint(self, signals: Signals, adapters: nn.Module | None) -> Tensor:
        from models.distill.losses.adapters import Paired

        assert isinstance(adapters, Paired)
        layers = zip(adapters, adapters.features(signals), strict=True)
        return torch.stack([F.mse_loss(*regress(*both)) for regress, both in layers]).sum()


def weighted_cross_entropy(student: Tensor, target: Tensor, background: float, temperature: float) -> Tensor:
    """L_soft = -sum of w_c P_t(c) log P_s(c) (equation 3) over all cells.

    Student's logits and `target`, the teacher's probabilities, are (..., classes). w_c is `background` for
    class `BACKGROUND`, 1 for all others.
    """
    weights = torch.ones(student.shape[-1], dtype=student.dtype, device=student.device)
    weights[BACKGROUND] = background
    return -(weights * target * F.log_softmax(student / temperature, dim=-1)).sum()


def teacher_bounded(student: Tensor, teacher: Tensor, wanted: Tensor, margin: float) -> Tensor:
    """L_b (equation 4), encoded boxes (n, 4), over all n.

    The student's squared error of a box, where plus `margin` it exceeds the teacher's; else 0.
    """
    own, other = ((each - wanted).square().sum(dim=-1) for each in (student, teacher))
    return torch.where(own + margin > other, own, 0.0).sum()
