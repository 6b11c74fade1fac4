"""Quantization-aware training of students, distilled or not (arXiv:1802.05668)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from models import checkpoint as checkpoints
from models.augment import Augmentation
from models.data import Dataset
from models.distill.losses import Distillation
from models.distill.transfer import TransferSet
from models.student import Student
from models.topology import Topology
from models.training import Batch, History, Job, Progress, TrainingConfig, fit, silent
from pipeline.errors import CheckpointError, ConfigError, DataError


@dataclass(frozen=True)
class HintedLoss:
    """A distillation method as the loss of a training run: the batch's hints are the teacher's logits."""

    method: Distillation

    def __call__(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the method's terms."""
        if batch.hints is None:
            raise DataError("distill: the batch has no teacher logits; train on a transfer set")
        return self.method.terms(logits, batch.hints, batch.y)


def distill(
    topology: Topology,
    dataset: Dataset,
    transfer: TransferSet,
    loss: Distillation,
    training: TrainingConfig,
    checkpoint: Path | None = None,
    progress: Progress = silent,
    augmentation: Augmentation | None = None,
) -> tuple[Student, History]:
    """Train a student on the transfer set. With `HardLabels()` as the loss it is the undistilled baseline.

    With an augmentation each sample is another each epoch, but the teacher's logits stay those of the sample
    as it is in the transfer set.

    Seed and budget are those of `training`, so that two losses compare on the same initial weights, samples
    and steps. Gives the student in evaluation mode.

    Raises:
        ConfigError: the topology or the augmentation does not fit the data set, or another precision.
        CheckpointError: the checkpoint is corrupt or another run's.
    """
    if (topology.inputs, topology.classes) != (dataset.features, dataset.classes):
        raise ConfigError(
            f"distill: the topology takes {topology.inputs} inputs to {topology.classes} classes, "
            f"{dataset.name} has {dataset.features} features and {dataset.classes} classes; "
            "change the topology"
        )
    if training.precision != "float32":
        raise ConfigError(
            f"distill: precision is {training.precision}; students are exact in float32 only, give that"
        )
    job = Job(
        build=partial(Student, topology),
        loss=HintedLoss(loss),
        train=transfer.split,
        validation=dataset.validation,
        config=training,
        input_shape=dataset.input_shape,
        augmentation=augmentation,
        hints=transfer.logits,
        label=f"student ({type(loss).__name__})",
        checkpoint=checkpoint,
    )
    student, history = fit(job, progress)
    assert isinstance(student, Student)
    return student, history


def temperature_sweep(
    temperatures: Sequence[float],
    topology: Topology,
    dataset: Dataset,
    transfer: TransferSet,
    loss: Distillation,
    training: TrainingConfig,
    epochs: int,
    progress: Progress = silent,
) -> list[dict[str, float]]:
    """Distil once for each temperature, `epochs` long.

    The seed is the same each time. Gives `temperature` and `validation_accuracy` (0 to 1) of each.

    Raises:
        ConfigError: a temperature not above 0.
    """
    curve = []
    for index, temperature in enumerate(temperatures):
        progress("temperature sweep", index, len(temperatures))
        short = replace(training, epochs=epochs)
        softened = loss.at_temperature(temperature)
        _, history = distill(topology, dataset, transfer, softened, short)
        curve.append({"temperature": float(temperature), "validation_accuracy": history.validation_accuracy})
    progress("temperature sweep", len(temperatures), len(temperatures))
    return curve


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
