"""`[distill]`: losses, the source of samples and the schedule, whose tables are the methods' own settings."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeAlias,
    Union,
    get_origin,
    get_type_hints,
)

from pydantic import Field, create_model

from common.errors import ConfigError
from models.distill.losses import METHODS
from models.distill.method import MAX_TEMPERATURE, MIN_TEMPERATURE, WeightedSum
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES, OneStep, Schedule
from models.distill.sources import SOURCES, Source, TrainingData
from pipeline.config.section import MAX_COUNT, MAX_ITEMS, Count, Section, Weight

Label = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Temperature = Annotated[float, Field(ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)]


class MethodTable(Section):
    """The table of one method: its settings, and the key that names it."""

    kind_of_method: ClassVar[type]

    def made(self) -> Any:
        """The method itself; raises `ConfigError` where a setting is out of range."""
        kind: Any = self.kind_of_method
        return kind(**{each.name: getattr(self, each.name) for each in fields(kind)})

    def problems(self) -> Iterator[tuple[str, str]]:
        """The setting that is out of range, if one is."""
        try:
            self.made()
        except ConfigError as error:
            # Methods name themselves, then the setting: the table's place in the file says the former.
            what = str(error).partition(": ")[2] or str(error)
            setting, _, rest = what.partition(" ")
            known = setting in {each.name for each in fields(self.kind_of_method)}
            yield (setting, rest) if known else ("", what)


def _bounded(hint: Any) -> Any:
    """A setting's type with the limits that all of the build file's numbers and arrays have."""
    if hint in (int, float):
        return Annotated[hint, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    return Annotated[hint, Field(max_length=MAX_ITEMS)] if get_origin(hint) is tuple else hint


def _table(tag: str, name: str, kind: type, **more: Any) -> type[Section]:
    hints = get_type_hints(kind)
    keys = {
        each.name: (_bounded(hints[each.name]), ... if each.default is MISSING else each.default)
        for each in fields(kind)
    }
    made: Any = create_model
    table: type[Section] = made(
        kind.__name__,
        __base__=MethodTable,
        __doc__=kind.__doc__,
        **{tag: (Literal[name], ...)},
        **more,
        **keys,
    )
    table.kind_of_method = kind  # type: ignore[attr-defined]
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
    LossTable = _tables("method", METHODS, weight=(Weight, 1.0))
    SourceTable = _tables("source", SOURCES)
    ScheduleTable = _tables("kind", SCHEDULES)


class DistillConfig(Section):
    """`[distill]`: what the student learns, from which samples, and in which steps.

    Each of `losses` has a `method` (`retort methods` lists them), its settings, and a `weight` in the sum.
    `data` and `schedule` default to the training split and to a single step. `temperatures` are those of the
    temperature curve, each trained for `sweep_epochs`; there may be none.

    The student sees no sample of the classes `leave_out`, and of the others only `samples`, which the
    build's seed draws.
    """

    losses: Annotated[tuple[LossTable, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    data: SourceTable | None = None
    schedule: ScheduleTable | None = None
    temperatures: Annotated[tuple[Temperature, ...], Field(max_length=MAX_ITEMS)] = ()
    sweep_epochs: Count = 1
    samples: Count | None = None
    leave_out: Annotated[tuple[Label, ...], Field(max_length=MAX_ITEMS)] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Why the losses do not train a student, if so."""
        losses = [each.made() for each in self.losses]
        if not any(loss.whole for loss in losses):
            names = ", ".join(loss.method for loss in losses)
            yield "losses", f"of {names} none trains the logits; add softened-softmax or hard-labels"

    def real_data(self) -> TrainingData:
        """The labelled samples that a student without distillation learns from."""
        source = self.data.made() if self.data else None
        return source if isinstance(source, TrainingData) else TrainingData()

    def recipe(self) -> Recipe:
        """What the tables say, as the methods themselves."""
        parts = tuple((float(each.weight), each.made()) for each in self.losses)
        source: Source = self.data.made() if self.data else TrainingData()
        schedule: Schedule = self.schedule.made() if self.schedule else OneStep()
        return Recipe(WeightedSum(parts), source, schedule)


def distill_problems(config: DistillConfig, members: int) -> Iterator[str]:
    """What is wrong with the losses for a teacher of so many members."""
    for at, each in enumerate(config.losses):
        try:
            each.made().check_members(members)
        except ConfigError as error:
            yield f"distill.losses[{at}]: {error}"
