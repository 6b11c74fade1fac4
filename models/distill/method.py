"""What a distillation method is: settings, what it needs, and loss terms over what a step shows it.

A new method is a frozen dataclass that derives from `Distillation`, in a module of `models.distill.losses`,
and a line in its `METHODS`. Its settings are the keys of the build file, its name is `method`. These modules
load torch through `models.lazy` only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from common.errors import ConfigError
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 10_000.0
LEAST, MOST = 1e-9, 1e9
"""Of settings that are numbers above 0: in float32 their squares and quotients are numbers as well."""

Need = Literal["teacher", "labels", "features", "networks"]
"""The teacher's logits; true labels; features of both networks; both networks, to ask about other inputs.

Features and networks need the teacher in every step; logits alone are cached.
"""


def is_live(needs: frozenset[Need], augmented: bool) -> bool:
    """Whether the teacher is evaluated in every step, in place of its cached logits being looked up."""
    wants = needs - {"labels"}
    return bool(wants) and (augmented or not wants <= {"teacher"})


@dataclass(frozen=True)
class Signals:
    """What a method may look at in one step.

    Attributes:
        student: the student's logits (batch, classes).
        teacher: the logits of each member of the ensemble (members, batch, classes).
        labels: int64 (batch,).
        x: the samples, float (batch, features), 0 to 255, as both networks saw them.
        rows: places of the samples in the transfer set, int64 (batch,).
        progress: share of the training that lies behind, 0 to 1.
        student_features: what each hidden layer of the student gives, quantized: (batch, channels, height,
            width), by name (`layer0`); dense layers have one pixel.
        teacher_features: likewise of the ensemble's first member, by torch's name (`layers.3`).
        ask_student: the student as a function of samples, with gradients.
        ask_teacher: the ensemble as a function of samples, its logits (members, batch, classes), with
            gradients to the samples.
        weights: the student's weights by layer, (outputs, ...), before they are quantized.
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    x: Tensor | None = None
    rows: Tensor | None = None
    progress: float = 0.0
    student_features: Mapping[str, Tensor] = field(default_factory=dict)
    teacher_features: Mapping[str, Tensor] = field(default_factory=dict)
    ask_student: Callable[[Tensor], Tensor] | None = None
    ask_teacher: Callable[[Tensor], Tensor] | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


class Distillation(ABC):
    """A distillation loss. Its terms come weighted: their sum is what training minimizes."""

    method: ClassVar[str]
    """Its name in the build file."""
    paper: ClassVar[str]
    """Authors, year, and arXiv number or venue."""
    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    """The kinds of task that it serves; None for all."""
    whole: ClassVar[bool] = True
    """Whether it trains the logits: others need a loss beside them that does."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot do without, with these settings."""
        return frozenset({"teacher"})

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """Make what it trains beside the student and throws away; drawn from torch's global generator.

        Raises:
            ConfigError: a layer that is not there, or layers that do not fit.
        """
        return None

    def check_members(self, members: int) -> None:
        """Check that the settings go with a teacher of so many members.

        Raises:
            ConfigError: they do not.
        """
        return

    @abstractmethod
    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the weighted terms, each a scalar, a mean over the batch."""

    def __call__(self, signals: Signals, adapters: nn.Module | None = None) -> Tensor:
        """Sum the terms: a scalar."""
        return torch.stack(list(self.terms(signals, adapters).values())).sum()

    def at_temperature(self, temperature: float) -> Distillation:
        """Give this loss at another temperature; itself, if it has none.

        Raises:
            ConfigError: temperature not above 0.
        """
        return self


@dataclass(frozen=True)
class WeightedSum(Distillation):
    """Several losses at once, each times its weight.

    Raises:
        ConfigError: no losses, or a weight not above 0.
    """

    method: ClassVar[str] = "weighted-sum"
    paper: ClassVar[str] = ""

    parts: tuple[tuple[float, Distillation], ...]

    def __post_init__(self) -> None:
        if not self.parts or not all(weight > 0 for weight, _ in self.parts):
            weights = [weight for weight, _ in self.parts]
            raise ConfigError(f"distill: the losses weigh {weights}; give at least one, all above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """What any part needs."""
        return frozenset[Need]().union(*(part.needs for _, part in self.parts))

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """The parts' adapters, named by their place."""
        made = {str(place): part.adapters(shapes) for place, (_, part) in enumerate(self.parts)}
        kept = {place: adapter for place, adapter in made.items() if adapter is not None}
        return torch.nn.ModuleDict(kept) if kept else None

    def check_members(self, members: int) -> None:
        """Check all parts."""
        for _, part in self.parts:
            part.check_members(members)

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the terms of all parts, numbered from 0 and named after their method."""
        weighted = {}
        for index, (weight, part) in enumerate(self.parts):
            own = getattr(adapters, str(index), None)
            for name, term in part.terms(signals, own).items():
                weighted[f"{index}.{part.method}.{name}"] = weight * term
        return weighted

    def at_temperature(self, temperature: float) -> WeightedSum:
        """Give these losses at another temperature, those that have one."""
        return WeightedSum(tuple((weight, part.at_temperature(temperature)) for weight, part in self.parts))


def require_above_zero(method: str, **values: float) -> None:
    """Check settings that must be above 0.

    Raises:
        ConfigError: names the first that is not.
    """
    for key, value in values.items():
        if not LEAST <= value <= MOST:
            raise ConfigError(f"{method}: {key} is {value}; give a number above 0, up to {MOST:g}")


def require_temperature(method: str, temperature: float) -> None:
    """Check a temperature: beyond these, float32 has no softened probabilities to tell apart.

    Raises:
        ConfigError: it is out of range.
    """
    if not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
        raise ConfigError(
            f"{method}: temperature is {temperature}; give {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
        )


def require_not_negative(method: str, **values: float) -> None:
    """Check settings that must be at least 0.

    Raises:
        ConfigError: names the first that is not.
    """
    for key, value in values.items():
        if not 0 <= value <= MOST:
            raise ConfigError(f"{method}: {key} is {value}; give a number of 0 or more, up to {MOST:g}")


def require_share(method: str, **values: float) -> None:
    """Check settings that must lie from 0 to 1.

    Raises:
        ConfigError: names the first that does not.
    """
    for key, value in values.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{method}: {key} is {value}; give a number from 0 to 1")
