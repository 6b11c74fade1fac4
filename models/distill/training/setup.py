"""Everything that a student is made from, and the one way to train it, for sources and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.topology import Topology
from models.data import Dataset
from models.distill.method import Distillation
from models.distill.training.transfer import TransferSet
from models.tasks import CLASSIFICATION, Task
from models.training import History, Progress, TrainingConfig, silent
from models.training.augment import Augmentation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.students.masks import Masks
    from models.students.student import Student


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """What a student is made from; `replace` gives another.

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
    ) -> tuple[Student, History]:
        """Train one student, in evaluation mode; `name` tells its checkpoint and progress from others.

        Args:
            name: unique in this setup.
            loss: in place of the setup's.
            epochs: in place of the training's.
            start: a student's weights to begin from (its `state_dict`), in place of drawn ones.
            masks: the weights that stay zero.

        Raises:
            ConfigError: see `models.distill.training.student_training.distill`.
            CheckpointError: the checkpoint is corrupt or another run's.
        """
        from models.distill.training.student_training import distill

        return distill(
            self.topology,
            self.dataset,
            self.transfer,
            loss or self.loss,
            replace(self.training, epochs=epochs or self.training.epochs),
            self.checkpoints / f"{name}.safetensors" if self.checkpoints else None,
            self.progress,
            self.augmentation,
            self.members,
            start,
            name,
            masks,
            self.task,
        )

    def temperature_sweep(self, temperatures: Sequence[float], epochs: int) -> list[dict[str, float]]:
        """Distil once for each temperature, `epochs` long, from the same seed.

        Gives `temperature` and `validation_score` (0 to 1) of each.

        Raises:
            ConfigError: a temperature not above 0.
        """
        curve = []
        for temperature in temperatures:
            loss = self.loss.at_temperature(temperature)
            _, history = self.distill(f"temperature {temperature:g}", loss=loss, epochs=epochs)
            score = history.validation_score
            curve.append({"temperature": float(temperature), "validation_score": score})
        return curve
