"""Self-study, co-study, tutoring: quantization-aware knowledge distillation (arXiv:1911.12491)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from common.settings import Part
from models.distill.losses import HardLabels
from models.distill.method import Distillation, Need, Temperature
from models.distill.schedules.base import Schedule, part_of

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import TrainingSetup
    from models.students.student import Student
    from models.training import History


@dataclass(frozen=True)
class QuantizationAware(Schedule):
    """QKD: three phases, each from where the one before ended, together as long as the student's training.

    Self-study: the student learns labels alone, quantized, to a good start. Co-study: student and teacher
    learn together, the student by the losses of the build file, each member of the teacher by its
    cross-entropy plus T^2 KL(student || member at T), which makes it easier to follow. Tutoring: what became
    of the teacher, now fixed, teaches the student by the same losses. Each phase has the student's learning
    rate from its peak to zero, for the teacher too. The history's `measured` has the accuracies on the way.

    The phases and who learns in them are the paper's; its temperature and lengths, per data set, were not at
    hand, and those here are ours.

    Attributes:
        self_study: share of the epochs.
        co_study: share of the epochs; tutoring has the rest. Each phase has at least one epoch.
        temperature: T of what the teacher learns from the student.

    Raises:
        ConfigError: a setting outside of its limits, or shares that leave nothing.
    """

    kind: ClassVar[str] = "qkd"
    paper: ClassVar[str] = "Kim, Bhalgat, Lee, Patel, Kwak 2019, arXiv:1911.12491"

    self_study: Part = 0.3
    co_study: Part = 0.3
    temperature: Temperature = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.self_study + self.co_study >= 1:
            raise ConfigError(
                f"schedule {self.kind}: self_study {self.self_study} and co_study {self.co_study} leave "
                "nothing to tutoring; give shares whose sum is below 1"
            )

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, for student and teacher."""
        return frozenset({"labels"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from a teacher."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train through all phases."""
        from models.distill.schedules.intermediate_teachers import (
            require_teaching,
            taught_by,
            teacher_shape,
            validation_score,
        )
        from models.distill.schedules.joint_training import train_jointly

        require_teaching(self.kind, setup.loss)
        teacher_shape(self.kind, setup)
        whole = setup.training.epochs
        first, second = part_of(whole, self.self_study), part_of(whole, self.co_study)
        alone, history = setup.distill("self-study", loss=HardLabels(), epochs=first)
        measured = {"self-study": history.validation_score}
        student, members, history = train_jointly(setup, "co-study", alone, self.temperature, second)
        measured |= {
            "co-study": history.validation_score,
            "teacher before": validation_score(setup, setup.members),
            "teacher after": validation_score(setup, members),
        }
        student, history = taught_by(setup, members).distill(
            "tutoring", epochs=max(1, whole - first - second), start=student.state_dict()
        )
        return student, replace(history, measured=measured)
