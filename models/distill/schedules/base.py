"""In which steps a student is trained; settings of each are the table `[distill.schedule]`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.settings import check_settings
from models.distill.method import Distillation, Need

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import TrainingSetup
    from models.students.student import Student
    from models.training import History


@dataclass(frozen=True)
class Schedule(ABC):
    """The steps to a student; a frozen dataclass whose fields are its settings.

    Raises:
        ConfigError: a setting outside of its limits.
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

        Raises:
            ConfigError: says what does not fit.
        """
        return

    @abstractmethod
    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train the student by all steps; gives it in evaluation mode, and the history of the last step.

        Raises:
            ConfigError: it does not fit the networks or the losses.
            CheckpointError: a checkpoint is corrupt or another run's.
        """


def part_of(epochs: int, share: float) -> int:
    """Give a share (0 to 1) of the epochs, at least one."""
    return max(1, round(share * epochs))


@dataclass(frozen=True)
class OneStep(Schedule):
    """One training by the losses of the build file."""

    kind: ClassVar[str] = "one-step"
    paper: ClassVar[str] = "none: the plain way"
    tasks: ClassVar[frozenset[str] | None] = None

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train once."""
        return setup.distill()
