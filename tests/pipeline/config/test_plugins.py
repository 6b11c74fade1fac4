"""Plug-ins that are put into a registry from outside, as tables of a build file."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from annotated_types import Ge

from common.errors import ConfigError
from models.distill.losses import METHODS, HardLabels
from models.tasks import TASKS, Classification
from models.teachers import TEACHERS
from models.teachers.trained import Trained
from pipeline.config.file import parse
from tests.pipeline.config.test_defaults import SHORT


@dataclass(frozen=True)
class ToyTask(Classification):
    kind: ClassVar[str] = "toy-task"
    distillation: ClassVar[str] = "toy-loss"

    margin: Annotated[float, Ge(0)] = 0.5


@dataclass(frozen=True)
class ToyLoss(HardLabels):
    method: ClassVar[str] = "toy-loss"
    tasks: ClassVar[frozenset[str] | None] = None

    strength: float = 2.0


@dataclass(frozen=True)
class ToyTeacher(Trained):
    kind: ClassVar[str] = "toy-teacher"

    answer: int = 42


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, ToyTask.kind, ToyTask)
    monkeypatch.setitem(METHODS, ToyLoss.method, ToyLoss)
    monkeypatch.setitem(TEACHERS, ToyTeacher.kind, ToyTeacher)


def build(**tables: object) -> dict[str, object]:
    import tomllib

    raw = tomllib.loads(SHORT.format(data='source = "digits"', classes=10, board="icebreaker"))
    return {"name": "x", **raw, **tables}


def test_their_tables_have_their_fields_as_keys() -> None:
    tables = build(task={"kind": "toy-task", "margin": 1.5}, teacher={"kind": "toy-teacher", "answer": 7})
    made = parse(tables, "x.toml")
    assert made.task == ToyTask(1.5) and isinstance(made.teacher, ToyTeacher) and made.teacher.answer == 7
    assert made.distill and [each.loss for each in made.distill.losses] == [ToyLoss()]
    assert parse(made.model_dump(mode="json"), "lock") == made


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"task": {"kind": "toy-task", "margin": -1.0}},
            "task.margin: input should be greater than or equal to 0, not -1.0",
        ),
        ({"task": {"kind": "toy-task", "margn": 1.0}}, "task.margn: unknown key; did you mean 'margin'?"),
        ({"task": {"kind": "toytask"}}, "task.kind: unknown kind 'toytask'; did you mean 'toy-task'?"),
        (
            {"distill": {"losses": [{"method": "toy-loss", "strength": "x"}]}},
            "distill.losses[0].strength: input should be a valid number, not 'x'",
        ),
        (
            {"teacher": {"kind": "toy"}},
            "teacher.kind: unknown kind 'toy'; known are specialists, toy-teacher, trained",
        ),
    ],
)
def test_what_is_wrong_names_the_key(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(build(**tables), "x.toml")
    assert str(caught.value) == f"x.toml: {message}"
