"""Students and networks that teach each other: born-again networks, and the teachers of arXiv:1909.11723."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from common.settings import Part, Share
from models.distill.losses import HardLabels, SoftenedSoftmax
from models.distill.method import Need, Temperature
from models.distill.schedules.base import MadeTeachers, part_of

if TYPE_CHECKING:
    from models.distill.training.setup import Trained, TrainingSetup
    from models.students.student import Student


@dataclass(frozen=True)
class BornAgain(MadeTeachers):
    """Generations of the student, each the next one's teacher, through the losses of the build file.

    Generation k is drawn with the seed plus k - 1. The last is the result, or with `ensemble` one more
    student, which learns from all generations together: the hardware holds one network, the paper's ensemble
    (BANE) would be all of them. The history's `measured` has the score of each and of the ensemble.

    Attributes:
        generations: number of students.
        first: what the first learns from, the build's teacher or labels alone.
        share: of the student's epochs, for each generation but the one that is the result.
        ensemble: whether a last student learns from all generations.
    """

    kind: ClassVar[str] = "born-again"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"
    students_teach: ClassVar[bool] = True

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

    def train(self, setup: TrainingSetup) -> Trained:
        """Train all generations."""
        whole, seed = setup.training.epochs, setup.training.seed
        students: list[Student] = []
        measured: dict[str, float] = {}
        for index in range(self.generations):
            taught = setup.taught_by(students[-1:]) if students else setup
            is_result = index + 1 == self.generations and not self.ensemble
            student, history = taught.trained_with(seed=seed + index).distill(
                f"generation {index + 1}",
                loss=HardLabels() if not index and self.first == "labels" else None,
                epochs=whole if is_result else part_of(whole, self.share),
            )
            students.append(student)
            measured[f"generation {index + 1}"] = history.validation_score
        measured["all generations"] = setup.validation_score(students)
        if self.ensemble:
            student, history = setup.taught_by(students).distill("student of all generations")
        return student, replace(history, measured=measured)


@dataclass(frozen=True)
class SelfTraining(MadeTeachers):
    """A student trained by labels alone teaches another of its shape (Tf-KD_self, section 5.1).

    The losses of the build file see the first student in place of a teacher.

    Attributes:
        share: of the student's epochs, for the first one.
    """

    kind: ClassVar[str] = "self-training"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"
    students_teach: ClassVar[bool] = True
    needs = frozenset[Need]({"labels"})
    asks_teacher = False

    share: Part = 1.0

    def train(self, setup: TrainingSetup) -> Trained:
        """Train both."""
        epochs = part_of(setup.training.epochs, self.share)
        alone, before = setup.distill("self", loss=HardLabels(), epochs=epochs)
        student, history = setup.taught_by([alone]).distill("student")
        return student, replace(history, measured={"self": before.validation_score})


@dataclass(frozen=True)
class DefectiveTeacher(MadeTeachers):
    """A poorly trained teacher (De-KD, section 2.2): a fresh network of the teacher's shape, hardly trained.

    It learns labels at the student's learning rate; then the student learns from it, by the losses of the
    build file. The history's `measured` has its score.

    Attributes:
        share: of the student's epochs, for the teacher.
    """

    kind: ClassVar[str] = "defective"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"
    students_teach: ClassVar[bool] = False
    needs = frozenset[Need]({"labels"})

    share: Part = 0.05

    def train(self, setup: TrainingSetup) -> Trained:
        """Train the teacher, and the student from it."""
        from models.distill.schedules.intermediate_teachers import train_network

        epochs = part_of(setup.training.epochs, self.share)
        teacher, before = train_network(setup, "defective teacher", setup.members[0], HardLabels(), epochs)
        student, history = setup.taught_by([teacher]).distill("student")
        return student, replace(history, measured={"defective teacher": before.validation_score})


@dataclass(frozen=True)
class ReversedTeacher(MadeTeachers):
    """The student teaches the teacher (Re-KD, section 2.1), which then teaches the student.

    First a student learns labels alone; a fresh network of the teacher's shape learns from it by the softened
    softmax; from that network the final student learns, by the losses of the build file. The paper ends with
    the network: its score is in the history's `measured`, beside the student alone and the build's own
    teacher.

    Attributes:
        share: of the student's epochs, for the student alone and for the network, each.
        temperature: of what the network learns from the student.
        hard_label_weight: of the labels in what the network learns.
    """

    kind: ClassVar[str] = "reversed"
    paper: ClassVar[str] = "Yuan, Tay, Li, Wang, Feng 2019, arXiv:1909.11723"
    students_teach: ClassVar[bool] = False
    needs = frozenset[Need]({"labels"})

    share: Part = 1.0
    temperature: Temperature = 4.0
    hard_label_weight: Share = 0.1

    def train(self, setup: TrainingSetup) -> Trained:
        """Train the student alone, the network from it, and the student from that."""
        from models.distill.schedules.intermediate_teachers import train_network

        epochs = part_of(setup.training.epochs, self.share)
        alone, first = setup.distill("student alone", loss=HardLabels(), epochs=epochs)
        loss = SoftenedSoftmax(self.temperature, self.hard_label_weight)
        taught = setup.taught_by([alone])
        network, second = train_network(taught, "reversed teacher", setup.members[0], loss, epochs)
        student, history = setup.taught_by([network]).distill("student")
        measured = {
            "student alone": first.validation_score,
            "reversed teacher": second.validation_score,
            "teacher": setup.validation_score(setup.members),
        }
        return student, replace(history, measured=measured)
