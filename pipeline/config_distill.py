"""`[distill]`: losses, the source of samples and the schedule, whose tables are the methods' own settings."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union, get_type_hints

from pydantic import Field, create_model

from models.distill.method import Distillation, WeightedSum
from models.distill.methods import METHODS
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES, OneStep, Schedule
from models.distill.sources import SOURCES, Source, TrainingData
from pipeline.config_section import Count, Rate, Section
from pipeline.errors import ConfigError

Temperature = Annotated[float, Field(gt=0, le=1000)]


def _table(tag: str, name: str, kind: type, **more: Any) -> type[Section]:
    """The table of one method: its settings, and the key `tag` that names it."""
    hints = get_type_hints(kind)
    keys = {
        each.name: (hints[each.name], ... if each.default is MISSING else each.default)
        for each in fields(kind)
    }
    made: Any = create_model
    table: type[Section] = made(
        kind.__name__, __base__=Section, __doc__=kind.__doc__, **{tag: (Literal[name], ...)}, **more, **keys
    )
    return table


def _tables(tag: str, kinds: Mapping[str, type], **more: Any) -> Any:
    """Any of these methods' tables, told apart by `tag`."""
    tables = tuple(_table(tag, name, kind, **more) for name, kind in kinds.items())
    return Annotated[Union[tables], Field(discriminator=tag)] if len(tables) > 1 else tables[0]  # noqa: UP007


if TYPE_CHECKING:
    LossTable: TypeAlias = Any
    SourceTable: TypeAlias = Any
    ScheduleTable: TypeAlias = Any
else:
    LossTable = _tables("method", METHODS, weight=(Rate, 1.0))
    SourceTable = _tables("source", SOURCES)
    ScheduleTable = _tables("kind", SCHEDULES)


class DistillConfig(Section):
    """`[distill]`: what the student learns, from which samples, and in which steps.

    Each of `losses` has a `method` (`retort methods` lists them), its settings, and a `weight` in the sum.
    `data` and `schedule` default to the training split and to a single step. `temperatures` are those of the
    temperature curve, each trained for `sweep_epochs`; there may be none.
    """

    losses: Annotated[tuple[LossTable, ...], Field(min_length=1)]
    data: SourceTable | None = None
    schedule: ScheduleTable | None = None
    temperatures: tuple[Temperature, ...] = ()
    sweep_epochs: Count = 1

    def recipe(self) -> Recipe:
        """What the tables say, as the methods themselves.

        Raises:
            ConfigError: settings out of range, or such as do not go together; names the table.
        """
        losses = tuple(_made(f"losses[{at}]", each, "method", METHODS) for at, each in enumerate(self.losses))
        if not any(loss.whole for loss in losses):
            names = ", ".join(loss.method for loss in losses)
            raise ConfigError(
                f"distill.losses: of {names} none trains the logits; add softened-softmax or hard-labels"
            )
        weights = tuple(float(each.weight) for each in self.losses)
        loss: Distillation = WeightedSum(tuple(zip(weights, losses, strict=True)))
        source: Source = TrainingData()
        if self.data:
            source = _made("data", self.data, "source", SOURCES)
        schedule: Schedule = OneStep()
        if self.schedule:
            schedule = _made("schedule", self.schedule, "kind", SCHEDULES)
        return Recipe(loss, source, schedule)


def distill_problem(config: DistillConfig, members: int) -> str | None:
    """What is wrong with the settings, if anything, for a teacher of so many members."""
    try:
        config.recipe().loss.check_members(members)
    except ConfigError as error:
        return str(error)
    return None


def _made(key: str, table: Any, tag: str, kinds: Mapping[str, Any]) -> Any:
    kind = kinds[getattr(table, tag)]
    try:
        return kind(**{each.name: getattr(table, each.name) for each in fields(kind)})
    except ConfigError as error:
        raise ConfigError(f"distill.{key}: {error}") from error
