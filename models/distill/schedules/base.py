"""In which steps a student is trained; settings of each are the table `[distill.schedule]`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Need

if TYPE_CHECKING:
    from torch import nn

    from models.distill.workshop import Workshop
    from models.student import Student
    from models.topology import Topology
    from models.training import History


class Schedule(ABC):
    """The steps to a student; a frozen dataclass whose fields are its settings."""

    kind: ClassVar[str]
    """Its name in the build file."""
    paper: ClassVar[str]
    """Authors, year, and arXiv number or venue."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs beside what the losses need."""
        return frozenset()

    def check(self, topology: Topology, teacher: nn.Module) -> None:
        """Check, before anything is trained, that it fits the networks; the teacher is not trained yet.

        Raises:
            ConfigError: says what does not fit.
        """
        return

    @abstractmethod
    def run(self, workshop: Workshop) -> tuple[Student, History]:
        """Train the student by all steps; gives it in evaluation mode, and the history of the last step.

        Raises:
            ConfigError: it does not fit the networks or the losses.
            CheckpointError: a checkpoint is corrupt or another run's.
        """


@dataclass(frozen=True)
class OneStep(Schedule):
    """One training by the losses of the build file."""

    kind: ClassVar[str] = "one-step"
    paper: ClassVar[str] = "none: the plain way"

    def run(self, workshop: Workshop) -> tuple[Student, History]:
        """Train once."""
        return workshop.distill()
