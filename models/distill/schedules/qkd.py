"""Self-study, co-study, tutoring: quantization-aware knowledge distillation (arXiv:1911.12491)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from common.settings import Part
from models.distill.losses import HardLabels
from models.distill.method import Need, Temperature
from models.distill.schedules.base import MadeTeachers, part_of

if TYPE_CHECKING:
    from models.distill.training.setup import Trained, TrainingSetup


@dataclass(frozen=True)
class QuantizationAware(MadeTeachers):
    """QKD: three phases, each from where the one before ended, together as long as the student's training.

    Self-study: the student learns labels alone, quantized, to a good start. Co-study: student and teacher
    learn together, the student by the losses of the build file, each member of the teacher by its
    cross-entropy plus T^2 KL(student || member at T), which makes it easier to follow. Tutoring: the teacher
    that came of it, now fixed, teaches the student by the same losses. Each phase has the student's learning
    rate from its peak to zero, for the teacher too. The history's `measured` has the scores on the way.

    The phases are the paper's; its temperature and lengths were not at hand, and those here are ours.

    Attributes:
        self_study: share of the epochs.
        co_study: share of the epochs; tutoring has the rest. Each phase has at least one epoch.
        temperature: T of what the teacher learns from the student.

    Raises `ConfigError`: a setting outside of its limits, or shares that leave nothing.
    """

    kind: ClassVar[str] = "qkd"
    paper: ClassVar[str] = "Kim, Bhalgat, Lee, Patel, Kwak 2019, arXiv:1911.12491"
    students_teach: ClassVar[bool] = False
    needs = frozenset[Need]({"labels"})

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

    def train(self, setup: TrainingSetup) -> Trained:
        """Train through all phases."""
        from models.distill.schedules.joint_training import train_jointly

        whole = setup.training.epochs
        first, second = part_of(whole, self.self_study), part_of(whole, self.co_study)
        alone, history = setup.distill("self-study", loss=HardLabels(), epochs=first)
        measured = {"self-study": history.validation_score}
        student, members, history = train_jointly(setup, "co-study", alone, self.temperature, second)
        measured |= {
            "co-study": history.validation_score,
            "teacher before": setup.validation_score(setup.members),
            "teacher after": setup.validation_score(members),
        }
        student, history = setup.taught_by(members).distill(
            "tutoring", epochs=max(1, whole - first - second), start=student.state_dict()
        )
        return student, replace(history, measured=measured)
