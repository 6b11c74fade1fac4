"""Training detectors by the one training loop: the float teacher, and quantized students."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import ConfigError
from common.topology import Topology
from models.data import Split
from models.distill.features import FeatureShape, student_features
from models.distill.losses.adapters import Regressor
from models.students.student import Student
from models.tasks.classification import Classification
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import Grid
from models.tasks.detection.losses import LABELS, DetectionLoss
from models.tasks.detection.networks import DetectorConfig, TeacherDetector
from models.tasks.detection.scenes import Scenes
from models.training import Batch, History, Job, Progress, TrainingConfig, fit, silent
from models.training.evaluation import deterministic

BATCH = 64
"""Scenes at once, where a teacher is evaluated on all of them."""


class Targets(NamedTuple):
    """What a batch should come to: encoded boxes (batch, cells, 4); the teacher's outputs and features."""

    boxes: Tensor
    outputs: Tensor | None
    features: Tensor | None


@dataclass(frozen=True, eq=False)
class Lessons:
    """Boxes of all training scenes (n, cells, 4), and what the teacher gave for them, where it is wanted.

    Scenes are not augmented, so that the teacher has to be asked once only.
    """

    boxes: NDArray[np.float32]
    outputs: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None
    _digest: list[str] = field(default_factory=list)

    def of(self, rows: NDArray[np.int64], x: Tensor) -> Targets:
        """Look up the rows."""
        arrays = (self.boxes, self.outputs, self.features)
        boxes, outputs, features = (
            None if each is None else torch.from_numpy(each[rows]).to(x.device) for each in arrays
        )
        assert boxes is not None
        return Targets(boxes, outputs, features)

    def digest(self) -> str:
        """Tell one teacher and its scenes from others."""
        if not self._digest:
            found = hashlib.sha256()
            for array in (self.boxes, self.outputs, self.features):
                found.update(b"" if array is None else repr(array.shape).encode() + array.tobytes())
            self._digest.append(found.hexdigest())
        return self._digest[0]


@dataclass(frozen=True, eq=False)
class Precision(Classification):
    """What validation scores: mean average precision at 0.5 of outputs (n, values)."""

    grid: Grid
    scenes: Scenes

    def score(self, outputs: NDArray[Any], split: Split) -> float:
        """Score outputs of all scenes; what is in them is known here already."""
        return mean_average_precision(self.grid.detections(outputs), self.scenes)


@dataclass(frozen=True, eq=False)
class School:
    """What all detectors learn from.

    Attributes:
        grid: what they give.
        train, validation: scenes; the epoch of the greatest mean average precision on validation is kept.
    """

    grid: Grid
    train: Scenes
    validation: Scenes
    progress: Progress = silent

    def teach(self, config: DetectorConfig, training: TrainingConfig) -> tuple[TeacherDetector, History]:
        """Train the teacher on the labels; in evaluation mode."""
        build = _Teacher(config, self.train.shape, self.grid)
        network, history = self._fit(build, LABELS, training, "teacher")
        assert isinstance(network, TeacherTrainee)
        return network.network, history

    def distil(
        self,
        topology: Topology,
        loss: DetectionLoss,
        training: TrainingConfig,
        teacher: TeacherDetector | None = None,
        label: str = "student",
    ) -> tuple[Student, History]:
        """Train a student, in evaluation mode; of one seed, all begin with the same weights.

        Raises:
            ConfigError: the loss wants a teacher and there is none, or a layer that the student has not.
        """
        check_hint(topology, loss)
        if loss.needs_teacher and teacher is None:
            raise ConfigError("detection: the loss looks at a teacher and there is none; give one")
        hinted = teacher.hint_shape if teacher is not None and loss.hint_weight else None
        build = _Student(topology, loss, hinted)
        network, history = self._fit(build, loss, training, label, teacher)
        assert isinstance(network, StudentTrainee)
        return network.student, history

    def _fit(
        self,
        build: "_Teacher | _Student",
        loss: DetectionLoss,
        training: TrainingConfig,
        label: str,
        teacher: TeacherDetector | None = None,
    ) -> tuple[nn.Module, History]:
        classes, boxes = self.grid.assign(self.train)
        lessons = Lessons(boxes)
        if teacher is not None and loss.needs_teacher:
            with deterministic(training.threads):
                lessons = Lessons(boxes, *asked(teacher, self.train.x, bool(loss.hint_weight)))
        job = Job(
            build=build,
            loss=_Terms(loss),
            train=Split(self.train.x, classes),
            validation=Split(self.validation.x, self.grid.assign(self.validation)[0]),
            config=training,
            input_shape=self.train.shape,
            hinter=lessons,
            task=Precision(self.grid, self.validation),
            label=label,
        )
        return fit(job, self.progress)


class TeacherTrainee(nn.Module):
    """A teacher in training."""

    def __init__(self, network: TeacherDetector) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, batch: Batch | None = None, loss: DetectionLoss = LABELS) -> object:
        """Give the outputs; with a batch, the terms of its loss."""
        outputs = self.network(x)
        return outputs if batch is None else _terms(outputs, batch, loss)


class StudentTrainee(nn.Module):
    """A student in training, with the adapter of its hint, which is thrown away."""

    def __init__(self, topology: Topology, layer: str | None, teacher: FeatureShape | None) -> None:
        super().__init__()
        # First, so that its initial weights are the same whatever the loss draws.
        self.student = Student(topology)
        self.layer = layer
        self.adapter: Regressor | None = None
        if teacher is not None and layer is not None:
            height, width, channels = hidden_layers(topology)[layer]
            self.adapter = Regressor((channels, height, width), teacher)

    def forward(self, x: Tensor, batch: Batch | None = None, loss: DetectionLoss = LABELS) -> object:
        """Give the outputs; with a batch, the terms of its loss."""
        if batch is None:
            return self.student(x)
        values = self.student.values(x)
        outputs = values[-1].permute(0, 2, 3, 1).flatten(1)
        terms = _terms(outputs, batch, loss)
        if self.adapter is not None and self.layer is not None:
            guided = student_features(self.student, values)[self.layer]
            terms["hint"] = loss.hint(*self.adapter(guided, batch.hints.features))
        return terms


def _terms(outputs: Tensor, batch: Batch, loss: DetectionLoss) -> dict[str, Tensor]:
    targets: Targets = batch.hints
    shape = (*batch.y.shape, -1)
    teacher = None if targets.outputs is None else targets.outputs.view(shape)
    return loss.terms(outputs.view(shape), teacher, batch.y, targets.boxes)


def hidden_layers(topology: Topology) -> Mapping[str, tuple[int, int, int]]:
    """Height, width and channels of every layer that a hint may guide, by name."""
    return {step.name: step.out_shape for step in topology.steps[:-1]}


def check_hint(topology: Topology, loss: DetectionLoss) -> None:
    """Check that the student has the layer that the hint guides.

    Raises:
        ConfigError: it has not; says which there are.
    """
    known = hidden_layers(topology)
    if loss.hint_weight and loss.hint_layer not in known:
        raise ConfigError(
            f"detection: the student has no hidden layer '{loss.hint_layer}' for the hint; known are"
            f" {', '.join(known)}"
        )


def asked(
    teacher: TeacherDetector, x: NDArray[np.uint8], features: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """What a teacher gives for `x` uint8 (n, values): outputs (n, values), `features` (n, *hint_shape)."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(x), BATCH):
            outputs, found = teacher.eval().both(torch.from_numpy(x[start : start + BATCH]).float())
            parts.append((outputs.numpy(), found.numpy() if features else None))
    outputs, kept = zip(*parts, strict=True)
    return np.concatenate(outputs), np.concatenate(kept) if features else None


@dataclass(frozen=True)
class _Terms:
    """The terms that a trainee itself computes."""

    loss: DetectionLoss

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = network(batch.x, batch, self.loss)
        return terms


@dataclass(frozen=True)
class _Teacher:
    """Makes the teacher."""

    config: DetectorConfig
    shape: tuple[int, int, int]
    grid: Grid

    def __call__(self) -> TeacherTrainee:
        return TeacherTrainee(TeacherDetector(self.config, self.shape, self.grid))


@dataclass(frozen=True)
class _Student:
    """Makes the student; `hinted` is the shape of the teacher's features, None without a hint."""

    topology: Topology
    loss: DetectionLoss
    hinted: FeatureShape | None

    def __call__(self) -> StudentTrainee:
        return StudentTrainee(self.topology, self.loss.hint_layer, self.hinted)
