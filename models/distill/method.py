"""What a distillation loss is: settings, what it needs, and terms over what it sees in a step.

A new loss is a frozen dataclass that derives from `Distillation`, in a module of `models.distill.losses`, and
a line in its `METHODS`. Its fields are keys of the build file. These modules load torch through
`models.lazy`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from common.errors import ConfigError
from common.settings import check_settings
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 10_000.0
Temperature = Annotated[float, Ge(MIN_TEMPERATURE), Le(MAX_TEMPERATURE)]
"""Beyond these, softened probabilities are all alike, or all 0 and 1, in float32."""

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
        rows: indices of the samples in the transfer set, int64 (batch,).
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


@dataclass(frozen=True)
class Distillation(ABC):
    """A distillation loss: a frozen dataclass whose fields are its settings.

    Its terms come weighted: training minimizes their sum.

    Raises `ConfigError`: a setting outside of its limits.
    """

    method: ClassVar[str]
    """Its name in the build file."""
    paper: ClassVar[str]
    """Authors, year, and arXiv number or venue."""
    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    """The kinds of task that it serves; None for all."""
    whole: ClassVar[bool] = True
    """Whether it trains the logits: others need a loss beside them that does."""
    some_of: ClassVar[tuple[str, ...]] = ()
    """Weights that must not all be 0."""

    def __post_init__(self) -> None:
        check_settings(self, self.method)
        if self.some_of and not any(getattr(self, key) for key in self.some_of):
            raise ConfigError(f"{self.method}: {', '.join(self.some_of)} are all 0; give one above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot do without, with these settings."""
        return frozenset({"teacher"})

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """Make what it trains beside the student and throws away; drawn from torch's global generator.

        Raises `ConfigError`: a layer that is not there, or layers that do not fit.
        """
        return None

    def check_members(self, members: int) -> None:
        """Check that the settings go with a teacher of so many members. Raises `ConfigError`: they do not."""
        return

    @abstractmethod
    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the weighted terms, each a scalar, a mean over the batch."""

    def __call__(self, signals: Signals, adapters: nn.Module | None = None) -> Tensor:
        """Sum the terms: a scalar."""
        return torch.stack(list(self.terms(signals, adapters).values())).sum()

    def at_temperature(self, temperature: float) -> Distillation:
        """Give this loss at another temperature; itself, if it has none.

        Raises `ConfigError`: temperature not above 0.
        """
        return self


class WithHardLabels(Distillation):
    """Soft terms, and the labels' cross-entropy times `hard_label_weight`, named `hard`.

    The soft terms weigh the rest of 1, or, where `shares` is false, what they weigh by themselves. They may
    bring a hard term of their own.
    """

    shares: ClassVar[bool] = True
    soft_needs: ClassVar[frozenset[Need]] = frozenset({"teacher"})
    """What the soft terms need."""

    hard_label_weight: float = 0.0

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return self.soft_needs | {"labels"} if self.hard_label_weight else self.soft_needs

    @abstractmethod
    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> Mapping[str, tuple[float, Tensor]]:
        """Compute the soft terms, each with its weight."""

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft terms, and the hard one where it weighs."""
        rest = 1 - self.hard_label_weight if self.shares else 1.0
        soft = self._soft_terms(signals, adapters)
        found = {name: rest * weight * term for name, (weight, term) in soft.items()}
        if self.hard_label_weight and "hard" not in found:
            found["hard"] = self.hard_label_weight * F.cross_entropy(signals.student, signals.labels)
        return found


@dataclass(frozen=True)
class WeightedSum(Distillation):
    """Several losses at once, each times its weight.

    Raises `ConfigError`: no losses, or a weight not above 0.
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
        """Make the parts' adapters, named by their index."""
        made = {str(index): part.adapters(shapes) for index, (_, part) in enumerate(self.parts)}
        present = {index: adapter for index, adapter in made.items() if adapter is not None}
        return torch.nn.ModuleDict(present) if present else None

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
