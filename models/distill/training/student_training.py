"""Quantization-aware training of students, distilled or not (arXiv:1802.05668)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.errors import CheckpointError, ConfigError
from common.topology import Topology
from models.data import Dataset
from models.distill.features import shapes_of, student_features
from models.distill.method import Distillation, Signals, is_live
from models.distill.training.teacher_outputs import CachedTeacher, LiveTeacher, TeacherOutputs
from models.distill.training.transfer import TransferSet
from models.students.masks import Masks, weights_of
from models.students.student import Student
from models.tasks import CLASSIFICATION, Task
from models.training import Batch, Hinter, History, Job, Progress, TrainingConfig, fit, silent
from models.training import checkpoint as checkpoints
from models.training.augment import Augmentation

PREFIX = "student."
"""Of the student's weights in a `StudentInTraining`."""


class StudentInTraining(nn.Module):
    """A student in training, and what its loss trains beside it and throws away."""

    def __init__(
        self,
        topology: Topology,
        loss: Distillation,
        teacher: nn.Module | None = None,
        samples: int = 0,
        masks: Masks | None = None,
    ) -> None:
        super().__init__()
        # First, so that its initial weights are the same whatever the loss draws.
        self.student = Student(topology)
        self.loss, self.masks = loss, masks
        wants = "features" in loss.needs
        self.adapters = loss.adapters(shapes_of(self.student, teacher, samples)) if wants else None

    def forward(self, x: Tensor, batch: Batch | None = None) -> Any:
        """Give the logits (batch, classes); with a batch, the terms of its loss."""
        if self.masks:
            # Before every use, so that whatever the optimizer made of a pruned weight is never seen or kept.
            self.masks.apply(self.student)
        if batch is None:
            return self.student(x)
        return self.loss.terms(self.signals(x, batch), self.adapters)

    def signals(self, x: Tensor, batch: Batch) -> Signals:
        """Evaluate the student on a batch, whose hints are the teacher's: all that its loss may look at."""
        values = self.student.values(x)
        logits = values[-1].permute(0, 2, 3, 1).flatten(1)
        hints = batch.hints or TeacherOutputs(logits.new_empty(0, *logits.shape), {}, None)
        return Signals(
            student=logits,
            teacher=hints.logits,
            labels=batch.y,
            x=x,
            rows=batch.rows,
            progress=batch.progress,
            student_features=student_features(self.student, values),
            teacher_features=hints.features,
            ask_student=self.student,
            ask_teacher=hints.ask,
            weights=weights_of(self.student),
        )


@dataclass(frozen=True)
class _Terms:
    """The terms that the trainee itself computes."""

    loss: Distillation

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = network(batch.x, batch)
        return terms


@dataclass(frozen=True, eq=False)
class _Build:
    """Makes the trainee; the first teacher gives the shapes of its features."""

    topology: Topology
    loss: Distillation
    teacher: nn.Module | None
    samples: int
    masks: Masks | None

    def __call__(self) -> StudentInTraining:
        return StudentInTraining(self.topology, self.loss, self.teacher, self.samples, self.masks)

    def __repr__(self) -> str:
        return repr((self.topology, self.loss))


def distill(
    topology: Topology,
    dataset: Dataset,
    transfer: TransferSet,
    loss: Distillation,
    training: TrainingConfig,
    checkpoint: Path | None = None,
    progress: Progress = silent,
    augmentation: Augmentation | None = None,
    members: Sequence[nn.Module] = (),
    start: Mapping[str, Tensor] | None = None,
    label: str = "",
    masks: Masks | None = None,
    task: Task = CLASSIFICATION,
) -> tuple[Student, History]:
    """Train a student on the transfer set. With `task.labels_only()` as the loss it is the baseline.

    The teacher's logits are those of the transfer set, as long as they are right and enough. With an
    augmentation, or a loss that needs features or networks, the `members` are evaluated in every step.

    Seed and budget are those of `training`, so that two losses compare on the same initial weights, samples
    and steps. `start` gives a student's weights to begin from in place of drawn ones. `masks` name the
    weights that stay zero. Gives the student in evaluation mode.

    Raises:
        ConfigError: the topology or the augmentation does not fit the data set, another precision, or a
            teacher is needed in every step and there is none.
        CheckpointError: the checkpoint is corrupt or another run's.
    """
    if topology.inputs != dataset.features:
        raise ConfigError(
            f"distill: the topology takes {topology.inputs} inputs, {dataset.name} has {dataset.features}"
            " features; change the topology"
        )
    task.check(topology, dataset.classes)
    if training.precision != "float32":
        raise ConfigError(
            f"distill: precision is {training.precision}; students are exact in float32 only, give that"
        )
    hinter = teacher_of(loss, transfer, members, augmentation)
    job = Job(
        build=_Build(topology, loss, members[0] if members else None, len(transfer.split), masks),
        loss=_Terms(loss),
        train=transfer.split,
        validation=dataset.validation,
        config=training,
        input_shape=dataset.input_shape,
        augmentation=augmentation,
        hinter=hinter,
        task=task,
        start={PREFIX + name: tensor for name, tensor in start.items()} if start else None,
        label=f"student ({label or type(loss).__name__})",
        checkpoint=checkpoint,
    )
    trainee, history = fit(job, progress)
    assert isinstance(trainee, StudentInTraining)
    return trainee.student, history


def teacher_of(
    loss: Distillation,
    transfer: TransferSet,
    members: Sequence[nn.Module],
    augmentation: Augmentation | None,
) -> Hinter | None:
    """Who gives the teacher's signal: nobody, the cache, or the members themselves.

    Raises:
        ConfigError: a teacher is needed in every step and there is none.
    """
    if loss.needs <= {"labels"}:
        return None
    if not is_live(loss.needs, augmentation is not None):
        return CachedTeacher(transfer.logits)
    if not members:
        raise ConfigError(
            "distill: the teacher is needed in every step, and only its logits are there; "
            "leave out the augmentation and methods that want features or networks"
        )
    return LiveTeacher(members, "features" in loss.needs)


def save_student(student: Student, path: Path) -> None:
    """Write a student's weights to one safetensors file."""
    checkpoints.save(path, {"weights": student.state_dict()})


def load_student(topology: Topology, path: Path) -> Student:
    """Read back what `save_student` wrote for the same topology, in evaluation mode.

    Raises:
        CheckpointError: the file is corrupt, or holds another network.
    """
    state: Any = checkpoints.load(path)
    if not isinstance(state, dict) or not isinstance(state.get("weights"), dict):
        raise CheckpointError(f"{path}: holds no student; train it again")
    student = Student(topology).eval()
    checkpoints.restore(student, state["weights"], str(path))
    return student
