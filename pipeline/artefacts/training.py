"""How the networks were trained: `teacher_training.json` and `training.json`."""

from dataclasses import dataclass, field

from common.jsonfile import JsonFile
from models.history import History


@dataclass(frozen=True)
class CurvePoint:
    """One run of the temperature sweep.

    Attributes:
        temperature: of the distillation loss.
        validation_score: the student's score on the validation split, 0 to 1.
    """

    temperature: float
    validation_score: float


@dataclass(frozen=True)
class Trained:
    """A student's training.

    Attributes:
        history: epoch by epoch.
        zeros: share of each layer's weights that are 0, 0 to 1.
    """

    history: History
    zeros: dict[str, float]


@dataclass(frozen=True)
class Training:
    """Histories of teacher and student, and the temperature sweep.

    Attributes:
        teacher: of each network of the ensemble.
        student: of the distilled student.
        baseline: of the same network trained on labels alone.
        zeros: share of weights that are 0, 0 to 1, by network and layer.
        temperature_curve: the sweep.
        temperature: the build's own.
        teacher_in_every_step: whether the teacher ran on every batch, not once before.
    """

    teacher: tuple[History, ...] = ()
    student: History | None = None
    baseline: History | None = None
    zeros: dict[str, dict[str, float]] = field(default_factory=dict)
    temperature_curve: tuple[CurvePoint, ...] = ()
    temperature: float | None = None
    teacher_in_every_step: bool = False


TEACHER_TRAINING = JsonFile("teacher_training.json", tuple[History, ...], ("teacher",))
BASELINE_TRAINING = JsonFile("baseline_training.json", Trained, ("baseline",))
TRAINING = JsonFile("training.json", Training, ("distill",))
