"""`[distill]`: losses, the source of samples and the schedule; their tables are the methods' own settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pydantic_core.core_schema import SerializationInfo

from common.errors import ConfigError
from models.distill.losses import METHODS
from models.distill.method import Distillation, Temperature, WeightedSum
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES, OneStep, Schedule
from models.distill.sources import SOURCES, Source, TrainingData
from pipeline.config.section import MAX_COUNT, MAX_ITEMS, Count, Section, Weight
from pipeline.config.table import Kinds, checked

Label = Annotated[int, Field(ge=0, le=MAX_COUNT)]


@dataclass(frozen=True)
class WeightedLoss:
    """A loss and its weight in the sum."""

    loss: Distillation
    weight: float = 1.0


class _Weight(Section):
    weight: Weight = 1.0


class _Losses(Kinds):
    """A table of a loss, with its `weight` beside its own settings."""

    more = ("weight",)

    def made(self, value: Any) -> Any:
        """The loss that a table says, and its weight."""
        if isinstance(value, WeightedLoss) or not isinstance(value, dict):
            return value if isinstance(value, WeightedLoss) else super().made(value)
        loss = super().made({key: each for key, each in value.items() if key != "weight"})
        given = {"weight": value["weight"]} if "weight" in value else {}
        return WeightedLoss(loss, checked(_Weight, given).weight)

    def dumped(self, value: Any, info: SerializationInfo) -> dict[str, Any]:
        """The table of a weighted loss."""
        return super().dumped(value.loss, info) | {"weight": value.weight}


LossTable = Annotated[WeightedLoss, _Losses(lambda: METHODS, tag="method")]
SourceTable = Annotated[Source, Kinds(lambda: SOURCES, tag="source")]
ScheduleTable = Annotated[Schedule, Kinds(lambda: SCHEDULES)]


class DistillConfig(Section):
    """`[distill]`: what the student learns, from which samples, and in which steps.

    Each of `losses` has a `method` (`retort methods` lists them), its settings, and a `weight` in the sum.
    `temperatures` are those of the temperature curve, each trained for `sweep_epochs`; there may be none.

    The student sees no sample of the classes `leave_out`, and of the others only `samples`, which the
    build's seed draws.
    """

    losses: Annotated[tuple[LossTable, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    data: SourceTable = TrainingData()
    schedule: ScheduleTable = OneStep()
    temperatures: Annotated[tuple[Temperature, ...], Field(max_length=MAX_ITEMS)] = ()
    sweep_epochs: Count = 1
    samples: Count | None = None
    leave_out: Annotated[tuple[Label, ...], Field(max_length=MAX_ITEMS)] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Why the losses do not train a student, if so."""
        losses = [each.loss for each in self.losses]
        if not any(loss.whole for loss in losses):
            names = ", ".join(loss.method for loss in losses)
            yield "losses", f"of {names} none trains the logits; add softened-softmax or hard-labels"
        try:
            self.recipe()
        except ConfigError as error:
            yield "losses", str(error).removeprefix("distill: ")

    def real_data(self) -> TrainingData:
        """The labelled samples that a student without distillation learns from."""
        return self.data if isinstance(self.data, TrainingData) else TrainingData()

    def recipe(self) -> Recipe:
        """Losses, source and schedule together."""
        parts = tuple((each.weight, each.loss) for each in self.losses)
        return Recipe(WeightedSum(parts), self.data, self.schedule)
