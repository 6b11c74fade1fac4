"""Teacher kind `specialists`: students of the build's shape, trained together so that each specializes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from common.errors import CheckpointError, ConfigError
from common.settings import Count, check_settings
from models.teachers.base import TeacherKind, TeacherResult, TeacherSetup
from models.teachers.networks import Few
from models.teachers.trained import BatchSize, Decay, LearningRate

if TYPE_CHECKING:
    from torch import nn

    from models.distill.training.multiple_choice import MultipleChoice
    from models.students.student import Student


@dataclass(frozen=True)
class Specialists(TeacherKind):
    """An ensemble of students that train together (Mun et al. 2018, NeurIPS).

    Its base models are trained each by itself on the labels, for `base_epochs`. From them `method` trains on
    for `epochs`: `overlap` members are assigned to each sample. `independent` assigns all;
    `base` leaves the base models as they are.

    Attributes:
        assign: see `models.distill.training.multiple_choice.MultipleChoice`, as are `overlap`, `beta`.
        temperature: of the targets of `mcl-kd`.
        learning_rate: of the base models; `later_learning_rate` of the ensemble.
        seed: of the first member; the build's where it is None.

    Raises `ConfigError`: a value out of range, a single member, or more assigned than there are.
    """

    kind: ClassVar[str] = "specialists"
    tools: ClassVar[tuple[str, ...]] = ("torch", "brevitas", "lightning-fabric")
    of_students: ClassVar[bool] = True

    method: Literal["base", "independent", "mcl", "cmcl", "mcl-kd"] = "mcl-kd"
    members: Few = 3
    overlap: Count = 1
    beta: Annotated[float, Ge(0)] = 1.0
    temperature: float = 1.0
    assign: Literal["task", "loss"] = "task"
    base_epochs: Count = 20
    epochs: Count = 8
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 1e-2
    later_learning_rate: LearningRate = 3e-3
    weight_decay: Decay = 1e-4
    seed: Annotated[int, Ge(0)] | None = None

    def __post_init__(self) -> None:
        check_settings(self, "teacher")
        self.loss().check_members(self.members)

    @property
    def size(self) -> int:
        """Members of the ensemble."""
        return self.members

    def loss(self) -> MultipleChoice:
        """What the ensemble is trained on by."""
        from models.distill.training import multiple_choice as losses

        if self.method in ("base", "independent"):
            return losses.MultipleChoice(overlap=self.members)
        shared: dict[str, Any] = {"overlap": self.overlap, "assign": self.assign}
        if self.method == "mcl":
            return losses.MultipleChoice(**shared)
        if self.method == "cmcl":
            return losses.ConfidentMultipleChoice(**shared, beta=self.beta)
        return losses.DistilledMultipleChoice(**shared, beta=self.beta, temperature=self.temperature)

    def make(self, setup: TeacherSetup) -> TeacherResult:
        """Train base models and ensemble, and ask each member once about every sample."""
        from models.distill.training.ensembles import independent, specialize
        from models.history import History
        from models.teachers.ensemble import ensemble_logits, make_transfer_set
        from models.training import TrainingConfig, silent
        from models.training.evaluation import deterministic

        if setup.topology is None:
            raise ConfigError("teacher.kind: 'specialists' are students; give each layer one number")
        progress, data = setup.progress or silent, setup.dataset
        seed = {} if self.seed is None else {"seed": self.seed}
        first = TrainingConfig(
            epochs=self.base_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            **{**setup.machine, **seed},
        )
        bases = independent(setup.topology, data, self.members, first, progress)
        members, histories = bases, tuple[History, ...]()
        if self.method != "base":
            later = replace(first, epochs=self.epochs, learning_rate=self.later_learning_rate)
            members, history = specialize(bases, data, self.loss(), later, progress)
            histories = (history,)
        with deterministic(first.threads):
            transfer = make_transfer_set(members, data, self.views, self.mirror)
            test = ensemble_logits(members, data.test.x)
        state = {"members": [member.state_dict() for member in members]}
        return TeacherResult(transfer, test, state, histories)

    def load(self, setup: TeacherSetup, path: Path) -> tuple[nn.Module, ...]:
        """Read all members."""
        from models.students.student import Student
        from models.training import checkpoint

        state = checkpoint.load(path)
        states = state.get("members") if isinstance(state, dict) else None
        if not isinstance(states, list) or len(states) != self.members or setup.topology is None:
            raise CheckpointError(f"{path}: does not hold {self.members} specialists; train them again")
        members: list[Student] = []
        for index, weights in enumerate(states):
            member = Student(setup.topology).eval()
            checkpoint.restore(member, weights, f"{path}, member {index}")
            members.append(member)
        return tuple(members)
