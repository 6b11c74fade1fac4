"""Quantization-aware training of students, distilled or not (arXiv:1802.05668)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.errors import CheckpointError
from common.topology import Topology
from models.distill.features import shapes_of, student_features
from models.distill.method import Distillation, Signals
from models.distill.training.teacher_outputs import TeacherOutputs
from models.students.masks import Masks, weights_of
from models.students.student import Student
from models.training import Batch
from models.training import checkpoint as checkpoints

PREFIX = "student."
"""Of the names of the student's weights in a `StudentInTraining`."""


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
        """Evaluate the student on a batch: all that its loss may look at."""
        values = self.student.values(x)
        logits = values[-1].permute(0, 2, 3, 1).flatten(1)
        teacher = batch.teacher or TeacherOutputs(logits.new_empty(0, *logits.shape), {}, None)
        return Signals(
            student=logits,
            teacher=teacher.logits,
            labels=batch.y,
            x=x,
            rows=batch.rows,
            progress=batch.progress,
            student_features=student_features(self.student, values),
            teacher_features=teacher.features,
            ask_student=self.student,
            ask_teacher=teacher.ask,
            weights=weights_of(self.student),
        )


@dataclass(frozen=True)
class OwnTerms:
    """The terms of a network that computes them itself; the loss tells one run from another."""

    loss: Distillation

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Ask the network."""
        terms: dict[str, Tensor] = network(batch.x, batch)
        return terms


@dataclass(frozen=True, eq=False)
class NewStudent:
    """Makes the student in training; the first teacher gives the shapes of its features."""

    topology: Topology
    loss: Distillation
    teacher: nn.Module | None
    samples: int
    masks: Masks | None

    def __call__(self) -> StudentInTraining:
        """Draw its weights."""
        return StudentInTraining(self.topology, self.loss, self.teacher, self.samples, self.masks)

    def __repr__(self) -> str:
        return repr((self.topology, self.loss))


def save_student(student: Student, path: Path) -> None:
    """Write a student's weights to one safetensors file."""
    checkpoints.save(path, {"weights": student.state_dict()})


def load_student(topology: Topology, path: Path) -> Student:
    """Read back what `save_student` wrote for the same topology, in evaluation mode.

    Raises `CheckpointError`: the file is corrupt, or holds another network.
    """
    state: Any = checkpoints.load(path)
    if not isinstance(state, dict) or not isinstance(state.get("weights"), dict):
        raise CheckpointError(f"{path}: holds no student; train it again")
    student = Student(topology).eval()
    checkpoints.restore(student, state["weights"], str(path))
    return student
