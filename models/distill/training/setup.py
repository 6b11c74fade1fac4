"""Everything that a student is trained from, and the one way to train it, for sources and schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.errors import ConfigError
from common.topology import Topology
from models.augmentation import Augmentation
from models.data import Dataset
from models.distill.method import Distillation, is_live
from models.distill.training.student_training import PREFIX, NewStudent, OwnTerms, StudentInTraining
from models.distill.training.teacher_outputs import CachedTeacher, LiveTeacher
from models.distill.training.transfer import TransferSet
from models.students.masks import Masks
from models.students.student import Student
from models.tasks import CLASSIFICATION, Task
from models.teachers.ensemble import ensemble_logits
from models.training import History, Job, Loss, Progress, TeacherSignal, TrainingConfig, fit, silent
from models.training.evaluation import deterministic

Trained = tuple[Student, History]
"""A student in evaluation mode, and the history of its (last) training."""


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """What a student is trained from; `replace` gives another.

    Attributes:
        topology: of the student.
        dataset: its validation split chooses the best epoch.
        transfer: what students learn from, with the teacher's logits.
        members: the teacher's networks, in evaluation mode.
        loss: what the whole student is trained by.
        training: how, and how long.
        augmentation: what happens to the samples of each batch; the teacher sees them so, too.
        task: what the student is for.
        checkpoints: the folder that keeps unfinished runs; None for none.
        progress: told of every epoch.
    """

    topology: Topology
    dataset: Dataset
    transfer: TransferSet
    members: Sequence[nn.Module]
    loss: Distillation
    training: TrainingConfig
    augmentation: Augmentation | None = None
    task: Task = CLASSIFICATION
    checkpoints: Path | None = None
    progress: Progress = silent

    def distill(
        self,
        name: str = "student",
        *,
        loss: Distillation | None = None,
        epochs: int | None = None,
        start: Mapping[str, Tensor] | None = None,
        masks: Masks | None = None,
    ) -> Trained:
        """Train one student; gives it in evaluation mode. With `task.labels_only()` it is the baseline.

        Two losses compare on the same initial weights, samples and steps, since they depend on `training`
        alone.

        Args:
            name: tells its checkpoint and progress from others of this setup.
            loss: in place of the setup's.
            epochs: in place of the training's.
            start: a student's weights to begin from (its `state_dict`), in place of drawn ones.
            masks: the weights that stay zero.

        Raises `ConfigError`: the topology or the augmentation does not fit the data set, another precision
        than float32, or the loss needs the teacher in every step and only its logits are there. Raises
        `CheckpointError`: the checkpoint is corrupt or another run's.
        """
        loss = loss or self.loss
        if self.topology.inputs != self.dataset.features:
            raise ConfigError(
                f"distill: the topology takes {self.topology.inputs} inputs, {self.dataset.name} has "
                f"{self.dataset.features} features; change the topology"
            )
        self.task.check(self.topology, self.dataset.classes)
        if self.training.precision != "float32":
            raise ConfigError(
                f"distill: precision is {self.training.precision}; students are exact in float32 only, "
                "give that"
            )
        teacher = self.members[0] if self.members else None
        job = self.job(
            name,
            NewStudent(self.topology, loss, teacher, len(self.transfer.split), masks),
            OwnTerms(loss),
            epochs,
            teacher=self.teacher_for(loss),
            start={PREFIX + key: tensor for key, tensor in start.items()} if start else None,
            label=f"student ({name})",
        )
        network, history = fit(job, self.progress)
        assert isinstance(network, StudentInTraining)
        return network.student, history

    def job(
        self, name: str, build: Callable[[], nn.Module], loss: Loss, epochs: int | None = None, **more: Any
    ) -> Job:
        """Describe the training of a network on this setup's samples; `more` are other fields of the job."""
        more = {"label": name, "augmentation": self.augmentation, "task": self.task} | more
        return Job(
            build=build,
            loss=loss,
            train=self.transfer.split,
            validation=self.dataset.validation,
            config=replace(self.training, epochs=epochs or self.training.epochs),
            input_shape=self.dataset.input_shape,
            checkpoint=self.checkpoints / f"{name}.safetensors" if self.checkpoints else None,
            **more,
        )

    def teacher_for(self, loss: Distillation) -> TeacherSignal | None:
        """Give what tells a loss the teacher's outputs: nothing, cached logits, or the members themselves.

        Raises `ConfigError`: a teacher is needed in every step and there is none.
        """
        if loss.needs <= {"labels"}:
            return None
        if not is_live(loss.needs, self.augmentation is not None):
            return CachedTeacher(self.transfer.logits)
        if not self.members:
            raise ConfigError(
                "distill: the teacher is needed in every step, and only its logits are there; "
                "leave out the augmentation and methods that want features or networks"
            )
        return LiveTeacher(self.members, "features" in loss.needs)

    def taught_by(self, members: Sequence[nn.Module]) -> TrainingSetup:
        """Give the setup with other teachers: from samples (batch, features) to logits (batch, outputs)."""
        split = self.transfer.split
        with deterministic(self.training.threads):
            logits = ensemble_logits(members, split.x)
        return replace(self, transfer=TransferSet(split, logits), members=tuple(members))

    def trained_with(self, **changes: Any) -> TrainingSetup:
        """Give the setup with other values of some fields of `training`."""
        return replace(self, training=replace(self.training, **changes))

    def validation_score(self, members: Sequence[nn.Module]) -> float:
        """Score (0 to 1) of an ensemble on the validation split."""
        validation = self.dataset.validation
        with deterministic(self.training.threads):
            outputs = self.task.combine(ensemble_logits(members, validation.x))
        return self.task.score(outputs, validation)

    def temperature_sweep(self, temperatures: Sequence[float], epochs: int) -> list[dict[str, float]]:
        """Distil once for each temperature, `epochs` long, from the same seed.

        Gives `temperature` and `validation_score` (0 to 1) of each.

        Raises `ConfigError`: a temperature not above 0.
        """
        curve = []
        for temperature in temperatures:
            loss = self.loss.at_temperature(temperature)
            _, history = self.distill(f"temperature {temperature:g}", loss=loss, epochs=epochs)
            score = history.validation_score
            curve.append({"temperature": float(temperature), "validation_score": score})
        return curve
