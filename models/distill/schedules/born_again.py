"""Students that learn from students of the same shape: born-again networks and self-training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from common.settings import Part
from models.distill.losses import HardLabels
from models.distill.method import Distillation, Need
from models.distill.schedules.base import Schedule, part_of

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import TrainingSetup
    from models.students.student import Student
    from models.training import History


@dataclass(frozen=True)
class BornAgain(Schedule):
    """Generations of the student, each the next one's teacher, through the losses of the build file.

    Generation k is drawn with the seed plus k - 1. The last is the result, or with `ensemble` one student
    more, which learns from all generations together: the hardware holds one network, the paper's ensemble
    (BANE) would be all of them. The history's `measured` has the accuracy of each and of the ensemble.

    Attributes:
        generations: students, at least 2.
        first: what the first learns from, the build's teacher or labels alone.
        share: of the student's epochs, for each generation but the one that is the result.
        ensemble: whether a last student learns from all generations.
    """

    kind: ClassVar[str] = "born-again"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"

    generations: Annotated[int, Ge(2)] = 2
    first: Literal["teacher", "labels"] = "teacher"
    share: Part = 1.0
    ensemble: bool = False

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, where the first generation learns from them."""
        return frozenset({"labels"} if self.first == "labels" else ())

    @property
    def asks_teacher(self) -> bool:
        """Whether the first generation learns from it."""
        return self.first == "teacher"

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from students."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss, topology)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train all generations."""
        from models.distill.schedules.intermediate_teachers import (
            require_teaching,
            taught_by,
            validation_score,
        )

        require_teaching(self.kind, setup.loss, setup.topology)
        whole = setup.training.epochs
        students: list[Student] = []
        measured: dict[str, float] = {}
        for place in range(self.generations):
            shop = taught_by(setup, students[-1:]) if students else setup
            is_result = place + 1 == self.generations and not self.ensemble
            student, history = replace(
                shop, training=replace(shop.training, seed=shop.training.seed + place)
            ).distill(
                f"generation {place + 1}",
                loss=HardLabels() if not place and self.first == "labels" else None,
                epochs=whole if is_result else part_of(whole, self.share),
            )
            students.append(student)
            measured[f"generation {place + 1}"] = history.validation_score
        measured["all generations"] = validation_score(setup, students)
        if self.ensemble:
            student, history = taught_by(setup, students).distill("student of all generations")
        return student, replace(history, measured=measured)


@dataclass(frozen=True)
class SelfTraining(Schedule):
    """A student trained by labels alone teaches another of its shape (Tf-KD_self, section 5.1).

    No other teacher is looked at: the losses of the build file see the first student in its place.

    Attributes:
        share: of the student's epochs, for the first one.
    """

    kind: ClassVar[str] = "self-training"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"

    share: Part = 1.0

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, for the first student."""
        return frozenset({"labels"})

    @property
    def asks_teacher(self) -> bool:
        """Never."""
        return False

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from students."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss, topology)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train both."""
        from models.distill.schedules.intermediate_teachers import require_teaching, taught_by

        require_teaching(self.kind, setup.loss, setup.topology)
        epochs = part_of(setup.training.epochs, self.share)
        alone, before = setup.distill("self", loss=HardLabels(), epochs=epochs)
        student, history = taught_by(setup, [alone]).distill("student")
        return student, replace(history, measured={"self": before.validation_score})
