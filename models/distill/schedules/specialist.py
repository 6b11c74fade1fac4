"""A member of an ensemble of students as the student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from common.errors import ConfigError
from common.settings import check_settings
from models.distill.schedules.base import Schedule

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.method import Distillation
    from models.distill.training.setup import TrainingSetup
    from models.history import History
    from models.students.student import Student


@dataclass(frozen=True)
class Specialist(Schedule):
    """Take a member of a teacher of kind `specialists` as it is; nothing is trained.

    Raises `ConfigError`: a member below 0.
    """

    kind: ClassVar[str] = "specialist"
    paper: ClassVar[str] = "Mun, Lee, Shin, Han 2018, NeurIPS"

    member: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self, f"schedule {self.kind}")

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Refuse teachers that are no students: those have an architecture of their own."""
        raise ConfigError(f"schedule {self.kind}: wants [teacher] kind 'specialists'; give it")

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Give the member, and its score on the validation split."""
        from models.history import Epoch, History
        from models.students.student import Student
        from models.training.evaluation import deterministic, predict

        if self.member >= len(setup.members):
            raise ConfigError(
                f"schedule {self.kind}: member is {self.member}, of {len(setup.members)}; give one from 0"
            )
        student, held = setup.members[self.member], setup.dataset.validation
        if not isinstance(student, Student):
            raise ConfigError(f"schedule {self.kind}: the teacher's members are no students; see [teacher]")
        with deterministic(setup.training.threads):
            score = setup.task.score(predict(student, held.x), held)
        return student, History((Epoch(0.0, {}, score),), 0)
