"""What a kind of teacher supplies: outputs for what students learn from and are measured on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from common.errors import ConfigError
from models.distill.method import Need, is_live
from models.lazy import np
from models.tasks import CLASSIFICATION, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import nn

    from common.topology import Topology
    from models.data import Dataset
    from models.distill.training.transfer import TransferSet
    from models.teachers.networks import Architecture
    from models.training import History, Progress


@dataclass(frozen=True, eq=False)
class TeacherSetup:
    """What a teacher is made from.

    Attributes:
        dataset: prepared by the task.
        machine: the settings of `[training]`, as keys of `models.training.TrainingConfig`, and the seed.
        topology: of the build's student; None where it is left open.
        checkpoints: the folder that keeps unfinished runs; None for none.
    """

    dataset: Dataset
    machine: Mapping[str, Any]
    task: Task = CLASSIFICATION
    checkpoints: Path | None = None
    progress: Progress | None = None
    topology: Topology | None = None


@dataclass(frozen=True, eq=False)
class TeacherResult:
    """What a teacher gives.

    Attributes:
        transfer: what students learn from, with the outputs of each member.
        test: outputs of each member on the test split, float32 (members, n, outputs).
        state: what `load` reads its networks from, as `models.training.checkpoint` saves it.
        histories: of the members that were trained here.
    """

    transfer: TransferSet
    test: NDArray[np.float32]
    state: Any = field(default_factory=dict)
    histories: tuple[History, ...] = ()


class TeacherKind(ABC):
    """A kind of teacher: a frozen dataclass whose fields are the keys of `[teacher]`."""

    kind: ClassVar[str]
    """Its name in the build file."""
    serves: ClassVar[frozenset[Need]] = frozenset({"teacher", "labels"})
    """What of a method's needs it can serve; `networks` also where it is asked in every step."""
    tools: ClassVar[tuple[str, ...]] = ("torch",)
    of_students: ClassVar[bool] = False
    """Whether its members have the shape of the build's student."""

    views: int = 1
    """Views of each sample in the transfer set."""
    mirror: bool = False
    """Whether views come in pairs with their mirror images."""

    @property
    def size(self) -> int:
        """Number of members."""
        return 1

    @abstractmethod
    def make(self, setup: TeacherSetup) -> TeacherResult:
        """Make the teacher and ask it.

        Raises `ConfigError`: it does not fit the data set. Raises `CheckpointError`: a checkpoint is corrupt
        or another run's.
        """

    def load(self, setup: TeacherSetup, path: Path) -> tuple[nn.Module, ...]:
        """Give the members as networks, in evaluation mode, from the state in a file; none by default.

        Raises `CheckpointError`: the file is corrupt, or of other networks.
        """
        return ()

    @property
    def architecture(self) -> Architecture | None:
        """The first member's, for checks of its features before it is trained; None where it has none."""
        return None

    def check(self, needs: frozenset[Need], augmented: bool) -> None:
        """Check that it can serve what losses and schedule need.

        Raises `ConfigError`: it cannot; says what is missing.
        """
        wanted = needs | ({"networks"} if is_live(needs, augmented) else set())
        missing = sorted(wanted - self.serves)
        if missing:
            raise ConfigError(
                f"teacher.kind: '{self.kind}' has no {' and no '.join(missing)}, which [distill] needs; take"
                " another kind of teacher, or leave out the methods and the augmentation that want them"
            )
