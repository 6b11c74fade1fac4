"""A whole way to train a student: its losses, where samples come from, and in which steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from common.errors import ConfigError
from models.distill.method import Distillation, Need
from models.distill.schedules import OneStep, Schedule
from models.distill.sources import Source, TrainingData
from models.lazy import torch

if TYPE_CHECKING:
    from common.topology import Topology
    from models.distill.training.setup import Trained, TrainingSetup
    from models.teachers import Architecture


@dataclass(frozen=True)
class Recipe:
    """Losses, source and schedule. Raises `ConfigError`: labels are needed, and the source has none."""

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

    def check(self, topology: Topology, architecture: Architecture) -> None:
        """Check that losses and schedule have the layers that they want, before anything is trained.

        Raises `ConfigError`: says which are missing or do not fit.
        """
        from models.distill.training.student_training import StudentInTraining
        from models.teachers.ensemble import Teacher

        with torch.random.fork_rng():
            teacher = Teacher(architecture, topology.input_shape, topology.outputs)
            if self.schedule.asks_teacher:
                StudentInTraining(topology, self.loss, teacher)
            self.schedule.check(topology, teacher, self.loss)

    def prepared(self, setup: TrainingSetup) -> TrainingSetup:
        """The training setup with this recipe's losses and samples."""
        setup = replace(setup, loss=self.loss)
        setup = setup.trained_with(keep_best=setup.training.keep_best and self.source.labelled)
        return replace(setup, transfer=self.source.transfer(setup))

    def train(self, setup: TrainingSetup) -> Trained:
        """Train the student.

        Raises `ConfigError`: the settings do not fit the data set or the networks. Raises `CheckpointError`:
        a checkpoint is corrupt or another run's.
        """
        return self.schedule.run(self.prepared(setup))
