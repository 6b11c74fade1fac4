"""A whole way to train a student: its losses, where samples come from, and in which steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from common.errors import ConfigError
from models.distill.method import Distillation, Need
from models.distill.schedules import OneStep, Schedule
from models.distill.sources import Source, TrainingData

if TYPE_CHECKING:
    from models.distill.training.workshop import Workshop
    from models.students.student import Student
    from models.training import History


@dataclass(frozen=True)
class Recipe:
    """Losses, source and schedule.

    Raises:
        ConfigError: labels are needed, and the source has none.
    """

    loss: Distillation
    source: Source = field(default_factory=TrainingData)
    schedule: Schedule = field(default_factory=OneStep)

    def __post_init__(self) -> None:
        if "labels" in self.needs and not self.source.labelled:
            raise ConfigError(
                f"distill: the samples of data source '{self.source.source}' have no labels, but they are "
                "needed; set hard_label_weight to 0, or take losses and a schedule that need none"
            )

    @property
    def needs(self) -> frozenset[Need]:
        """Of losses and schedule together."""
        return self.loss.needs | self.schedule.needs

    def prepared(self, workshop: Workshop) -> Workshop:
        """The workshop with this recipe's losses and samples."""
        workshop = replace(workshop, loss=self.loss)
        training = replace(workshop.training, keep_best=workshop.training.keep_best and self.source.labelled)
        return replace(workshop, transfer=self.source.transfer(workshop), training=training)

    def train(self, workshop: Workshop) -> tuple[Student, History]:
        """Train the student.

        Raises:
            ConfigError: the settings do not fit the data set or the networks.
            CheckpointError: a checkpoint is corrupt or another run's.
        """
        return self.schedule.run(self.prepared(workshop))
