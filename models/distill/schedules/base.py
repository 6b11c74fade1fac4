"""What a schedule is: the steps of training a student; its fields are keys of `[distill.schedule]`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from common.errors import ConfigError
from common.settings import check_settings
from models.distill.method import Distillation, Need

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import Trained, TrainingSetup


Criterion = Literal["magnitude", "obd", "obs"]
"""How pruning chooses: by size, optimal brain damage, or optimal brain surgeon."""


@dataclass(frozen=True)
class Schedule(ABC):
    """The steps to a student; a frozen dataclass whose fields are its settings.

    Raises `ConfigError`: a setting outside of its limits.
    """

    kind: ClassVar[str]
    """Its name in the build file."""
    paper: ClassVar[str]
    """Authors, year, and arXiv number or venue."""
    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    """The kinds of task that it serves; None for all."""

    def __post_init__(self) -> None:
        check_settings(self, f"schedule {self.kind}")

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs beside what the losses need."""
        return frozenset()

    @property
    def asks_teacher(self) -> bool:
        """Whether the losses ever learn from the build's own teacher."""
        return True

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check, before anything is trained, that it fits networks and losses; the teacher is not trained.

        Raises `ConfigError`: says what does not fit.
        """
        return

    @abstractmethod
    def run(self, setup: TrainingSetup) -> Trained:
        """Train the student by all steps; gives it in evaluation mode, and the history of the last step.

        Raises `ConfigError`: it does not fit the networks or the losses. Raises `CheckpointError`: a
        checkpoint is corrupt or another run's.
        """


class MadeTeachers(Schedule):
    """A schedule that makes teachers on the way, from which the losses of the build file learn."""

    students_teach: ClassVar[bool]
    """Whether those teachers are students; otherwise they are networks of the teacher's shape."""

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that the losses learn from such teachers."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, loss, topology if self.students_teach else None)

    def run(self, setup: TrainingSetup) -> Trained:
        """Check, and train all networks."""
        from models.distill.schedules.intermediate_teachers import require_teaching

        require_teaching(self.kind, setup.loss, setup.topology if self.students_teach else None)
        if not (self.students_teach or setup.members):
            raise ConfigError(
                f"schedule {self.kind}: wants the teacher's network, and only its logits are there"
            )
        return self.train(setup)

    @abstractmethod
    def train(self, setup: TrainingSetup) -> Trained:
        """Train all networks; as `run`."""


def part_of(epochs: int, share: float) -> int:
    """Give a share (0 to 1) of the epochs, at least one."""
    return max(1, round(share * epochs))


@dataclass(frozen=True)
class OneStep(Schedule):
    """One training by the losses of the build file."""

    kind: ClassVar[str] = "one-step"
    paper: ClassVar[str] = "none: the plain way"
    tasks: ClassVar[frozenset[str] | None] = None

    def run(self, setup: TrainingSetup) -> Trained:
        """Train once."""
        return setup.distill()
