"""Teacher kind `trained`: an ensemble of built-in networks, trained on the labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le, Lt, MinLen

from common.errors import ConfigError
from common.settings import Count, check_settings
from models.augmentation import Augmentation
from models.distill.method import Need
from models.teachers.base import TeacherKind, TeacherResult, TeacherSetup
from models.teachers.networks import Architecture, Few, Mlp, Sizes

if TYPE_CHECKING:
    from torch import nn

    from models.teachers.ensemble import TeacherConfig

BatchSize = Annotated[int, Ge(2)]
LearningRate = Annotated[float, Ge(1e-9), Le(100)]
Decay = Annotated[float, Ge(0), Le(100)]
Share = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class Trained(TeacherKind):
    """`members` of each of `networks`; `hidden` stands for one network of the kind mlp.

    `views` views a sample (with `mirror`, every second one its mirror image) are stored with the members'
    outputs, for students. The members learn from them too, unless `augment` gives them samples that are new
    each epoch. `warmup` is the share of the steps in which the learning rate rises.

    Raises `ConfigError`: a value out of range, or both `hidden` and `networks`.
    """

    kind: ClassVar[str] = "trained"
    serves: ClassVar[frozenset[Need]] = frozenset({"teacher", "labels", "features", "networks"})
    tools: ClassVar[tuple[str, ...]] = ("torch", "lightning-fabric")

    members: Few = 1
    hidden: Sizes | None = None
    networks: Annotated[tuple[Architecture, ...], MinLen(1)] | None = None
    epochs: Count = 16
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 3e-3
    weight_decay: Decay = 1e-2
    warmup: Share = 0.0
    label_smoothing: Share = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    views: Annotated[int, Ge(1), Le(50)] = 1
    mirror: bool = False
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        check_settings(self, "teacher")
        if self.hidden is not None and self.networks is not None:
            raise ConfigError("teacher: both hidden and networks are set; hidden stands for an mlp, give one")

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """The networks. Raises `ConfigError`: the table names none."""
        networks = (Mlp(self.hidden),) if self.hidden else self.networks
        if networks is None:
            raise ConfigError("teacher.networks: missing; give networks, or hidden for an mlp")
        return networks

    @property
    def architecture(self) -> Architecture:
        """The first network's."""
        return self.architectures[0]

    @property
    def size(self) -> int:
        """Members of the whole ensemble."""
        return self.members * len(self.networks or (self.hidden,))

    def config(self, setup: TeacherSetup) -> TeacherConfig:
        """What trains the ensemble."""
        from models.teachers.ensemble import TeacherConfig
        from models.training import TrainingConfig

        keys = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup", "precision")
        return TeacherConfig(
            networks=self.architectures,
            training=TrainingConfig(**{key: getattr(self, key) for key in keys}, **setup.machine),
            members=self.members,
            views=self.views,
            mirror=self.mirror,
            augmentation=self.augment,
            label_smoothing=self.label_smoothing,
        )

    def make(self, setup: TeacherSetup) -> TeacherResult:
        """Train all members, and ask each once about every sample."""
        from models.teachers.ensemble import ensemble_logits, make_transfer_set, train_ensemble
        from models.training import silent
        from models.training.evaluation import deterministic

        config, data = self.config(setup), setup.dataset
        found = train_ensemble(config, data, setup.checkpoints, setup.progress or silent, setup.task)
        with deterministic(config.training.threads):
            transfer = make_transfer_set(found.members, data, self.views, self.mirror)
            test = ensemble_logits(found.members, data.test.x)
        state = {"members": [member.state_dict() for member in found.members]}
        return TeacherResult(transfer, test, state, found.histories)

    def load(self, setup: TeacherSetup, path: Path) -> tuple[nn.Module, ...]:
        """Read all members."""
        from models.teachers.ensemble import load_ensemble

        return load_ensemble(self.config(setup), setup.dataset, path, setup.task).members
