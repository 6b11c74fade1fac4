"""Teachers that ought not to help: one that is barely trained, and one that the student itself taught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.settings import Part, Share
from models.distill.losses import HardLabels, SoftenedSoftmax
from models.distill.method import Distillation, Need, Temperature
from models.distill.schedules.base import Schedule, part_of

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import TrainingSetup
    from models.students.student import Student
    from models.training import History


@dataclass(frozen=True)
class DefectiveTeacher(Schedule):
    """A poorly trained teacher (De-KD, section 2.2): a fresh network of the teacher's shape, hardly trained.

    It learns labels for a small share of the student's epochs, at the student's learning rate; then the
    student learns from it, by the losses of the build file. The history's `measured` has its accuracy.

    Attributes:
        share: of the student's epochs, for the teacher.
    """

    kind: ClassVar[str] = "defective"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"

    share: Part = 0.05

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, for the teacher."""
        return frozenset({"labels"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from a teacher."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train the teacher, and the student from it."""
        from models.distill.schedules.intermediate_teachers import (
            require_teaching,
            taught_by,
            teacher_shape,
            train_network,
        )

        require_teaching(self.kind, setup.loss)
        shape = teacher_shape(self.kind, setup)
        epochs = part_of(setup.training.epochs, self.share)
        teacher, before = train_network(setup, "defective teacher", shape, HardLabels(), epochs)
        student, history = taught_by(setup, [teacher]).distill("student")
        return student, replace(history, measured={"defective teacher": before.validation_score})


@dataclass(frozen=True)
class ReversedTeacher(Schedule):
    """The student teaches the teacher (Re-KD, section 2.1), which then teaches the student.

    First a student learns labels alone; a fresh network of the teacher's shape learns from it, through the
    softened softmax of `temperature` and `hard_label_weight`; from that network the student on the hardware
    learns anew, by the losses of the build file. The paper ends with the network: how good it is, is in the
    history's `measured`, beside the student alone and the build's own teacher.

    Attributes:
        share: of the student's epochs, for the student alone and for the network, each.
        temperature: of what the network learns from the student.
        hard_label_weight: of the labels in what the network learns.
    """

    kind: ClassVar[str] = "reversed"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"

    share: Part = 1.0
    temperature: Temperature = 4.0
    hard_label_weight: Share = 0.1

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, for the first student."""
        return frozenset({"labels"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from a teacher."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train the student alone, the network from it, and the student from that."""
        from models.distill.schedules.intermediate_teachers import (
            require_teaching,
            taught_by,
            teacher_shape,
            train_network,
            validation_score,
        )

        require_teaching(self.kind, setup.loss)
        shape = teacher_shape(self.kind, setup)
        epochs = part_of(setup.training.epochs, self.share)
        alone, first = setup.distill("student alone", loss=HardLabels(), epochs=epochs)
        network, second = train_network(
            taught_by(setup, [alone]), "reversed teacher", shape, self._loss(), epochs
        )
        student, history = taught_by(setup, [network]).distill("student")
        measured = {
            "student alone": first.validation_score,
            "reversed teacher": second.validation_score,
            "teacher": validation_score(setup, setup.members),
        }
        return student, replace(history, measured=measured)

    def _loss(self) -> SoftenedSoftmax:
        return SoftenedSoftmax(self.temperature, self.hard_label_weight)
