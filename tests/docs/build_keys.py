"""Writes `docs/build-keys.md` from the classes of the build file: `python -m tests.docs.build_keys`."""

import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from models.augmentation import Augmentation
from models.distill.losses import METHODS
from models.distill.schedules import SCHEDULES
from models.distill.sources import SOURCES
from models.tasks import TASKS
from models.teachers import ARCHITECTURES, TEACHERS
from pipeline.config import build as tables
from pipeline.config.data import DATA
from pipeline.config.distill import DistillConfig
from pipeline.config.quantized import LAYERS
from pipeline.config.study import studies
from pipeline.config.table import table_of
from pipeline.config.vivado import VivadoConfig

PAGE = Path(__file__).parents[2] / "docs" / "build-keys.md"
HEAD = """# All keys of a build file

This page lists every table and key of a build file with its type and its default. It is generated from the
classes that check build files: `python -m tests.docs.build_keys`. [The build file](build-file.md) says how to
write one, and `retort plan FILE` shows the values that a file leaves out.

"computed" means that Retort chooses the default by the data or by other keys. "none" means that the key is
unused until you give it. "required" means that there is no default. A list of numbers of a layer is what
[sizing](sizing.md) chooses from, or rows and columns.
"""
PLAIN = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    Any: "table",
    type(None): "none",
}
COMPUTED = {
    "name", "data.test_fraction", "task", "teacher", "distill", "training", "teacher.networks",
    "teacher.views", "teacher.batch_size", "student.batch_size", "distill.losses", "student.seed",
}  # fmt: skip
"""Keys whose default depends on something else, or a table of its own."""

Registry = Mapping[str, Any]


def sections() -> Iterator[tuple[str, str, str, Any]]:
    """Heading, table in the build file, the value of its tag, the class."""
    yield "The file", "", "", tables.Build
    for table, tag, registry in registries():
        seen: dict[Any, list[str]] = {}
        for name, kind in registry.items():
            seen.setdefault(kind, []).append(name)
        for kind, names in seen.items():
            yield f"`{table}`, `{tag} = {' or '.join(json.dumps(name) for name in names)}`", table, tag, kind
        if table == "[teacher] networks":
            yield "`augment` of `[teacher]` and `[student]`", "", "", Augmentation
    for table, plain in (
        ("[distill]", DistillConfig),
        ("[size]", tables.SizeConfig),
        ("[compile]", tables.CompileConfig),
        ("[[compile.fold]]", tables.Fold),
        ("[board]", tables.BoardConfig),
        ("[vivado]", VivadoConfig),
        ("[verify]", tables.VerifyConfig),
        ("[training]", tables.TrainingConfig),
    ):
        yield f"`{table}`", table, "", plain


def registries() -> Iterator[tuple[str, str, Registry]]:
    """Table, tag, and the kinds by name."""
    yield "[data]", "source", DATA
    yield "[task]", "kind", TASKS
    yield "[teacher]", "kind", TEACHERS
    yield "[teacher] networks", "kind", ARCHITECTURES
    yield "[student]", "kind", tables.STUDENTS
    yield "[student] layers", "kind", LAYERS
    yield "[distill] losses", "method", METHODS
    yield "[distill] data", "source", SOURCES
    yield "[distill] schedule", "kind", SCHEDULES
    yield "[study]", "kind", studies()


def page() -> str:
    """The page."""
    parts = [HEAD]
    for heading, table, tag, kind in sections():
        about = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        text = [f"## {heading}", about]
        rows = list(_rows(table, tag, kind))
        if rows:
            text.append("\n".join(["| key | type | default |", "| --- | --- | --- |", *rows]))
        else:
            text.append("It has no keys.")
        parts.append("\n\n".join(text) + "\n")
    return "\n".join(parts)


def fields_of(kind: Any) -> Mapping[str, FieldInfo]:
    """The keys of a table's class."""
    table: Any = kind if issubclass(kind, BaseModel) else table_of(kind)
    found: Mapping[str, FieldInfo] = table.model_fields
    return found


def _rows(table: str, tag: str, kind: Any) -> Iterator[str]:
    for name, key in fields_of(kind).items():
        if name == tag:
            continue
        full = f"{table.strip('[]')}.{name}".removeprefix(".")
        default = _default(key)
        if full in COMPUTED and not (name == "test_fraction" and default != "none"):
            default = "computed"
        words = told(key.annotation) + _limits(key.metadata)
        if table == "[student] layers":  # a number stands for a list of one
            words = words.replace("list of integer", "integer or list of integer")
        yield f"| `{name}` | {words} | {default} |"


def _default(key: FieldInfo) -> str:
    if key.is_required():
        return "required"
    value = key.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, BaseModel) or is_dataclass(value):
        return "its defaults"
    return f"`{json.dumps(value)}`"


def told(kind: Any) -> str:
    """A type in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return told(inner[0]) + _limits(inner[1:])
    if origin in (typing.Union, UnionType):
        return " or ".join(dict.fromkeys(told(each) for each in inner if each is not type(None)))
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(each)}`" for each in inner)
    if origin is tuple:
        return "list of " + " and ".join(dict.fromkeys(told(each) for each in inner if each is not ...))
    return PLAIN.get(kind, "table")


def _limits(marks: Any) -> str:
    found = []
    for each in marks:
        for inner in getattr(each, "metadata", [each]):
            for name, word in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below")):
                limit = getattr(inner, name, None)
                if limit is not None and abs(limit) < 1e9:
                    found.append(f"{word} {limit:g}" if isinstance(limit, float) else f"{word} {limit:,}")
    return f" {' '.join(dict.fromkeys(found))}" if found else ""


if __name__ == "__main__":
    PAGE.write_text(page())
