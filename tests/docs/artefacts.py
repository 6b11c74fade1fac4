"""Writes `docs/artefacts.md` from the types: `python -m tests.docs.artefacts`."""

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from common.jsonfile import JsonFile
from pipeline.artefacts.catalog import FILES, OtherFile

PAGE = Path(__file__).parents[2] / "docs" / "artefacts.md"
HEAD = """# Files of a build's folder

`retort build` writes the folder `out/<build>/`. This page lists its files, and the keys of those in JSON, for
scripts. It is generated from the types that Retort itself reads and writes: `python -m tests.docs.artefacts`.
A key of which the table says "or left out" is absent where a build does not have it.

| file | stage | holds |
| --- | --- | --- |
"""
PLAIN = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any", type(None): "null"}


def page() -> str:
    """The page."""
    rows = []
    for file in FILES:
        link = f"[`{file.name}`](#{anchor(file.name)})" if isinstance(file, JsonFile) else f"`{file.name}`"
        about = file.about if isinstance(file, OtherFile) else summary(element(file.form))
        rows.append(f"| {link} | {', '.join(file.stages) or '(command)'} | {about} |")
    seen: set[type] = set()
    sections = [section(file, seen) for file in FILES if isinstance(file, JsonFile)]
    return HEAD + "\n".join([*rows, "", *sections])


def section(file: JsonFile[Any], seen: set[type]) -> str:
    """A file's keys, and those of the types within that are not `seen` in a section before."""
    form = element(file.form)
    head = f"## {file.name}\n\n{upper(summary(form))}."
    if form is not file.form:
        head += " The file is a list of these."
    tables = [table(form)]
    for inner in dict.fromkeys(inside(form)):
        if inner not in seen:
            tables.append(f"### {inner.__name__}\n\n{upper(summary(inner))}.\n\n{table(inner)}")
    seen |= {form, *inside(form)}
    return "\n\n".join([head, *tables]) + "\n"


def table(form: Any) -> str:
    """The keys of a type."""
    about = meanings(form)
    rows = ["| key | type | meaning |", "| --- | --- | --- |"]
    for name, kind, optional in keys(form):
        assert name in about, f"{form.__name__}.{name}: its docstring does not say what it is"
        rows.append(f"| `{name}` | {told(kind, optional)} | {about[name]} |")
    return "\n".join(rows)


def keys(form: Any) -> Iterator[tuple[str, Any, bool]]:
    """Name, type, and whether the key may be left out."""
    hints = typing.get_type_hints(form)
    if issubclass(form, BaseModel):
        yield from ((name, hints[name], False) for name in form.model_fields)
    else:
        yield from ((each.name, hints[each.name], each.default is None) for each in fields(form))


def told(kind: Any, optional: bool = False) -> str:
    """A type in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        names = [told(each) for each in inner if not (optional and each is type(None))]
        return " or ".join([*names, *(["left out"] if optional else [])])
    if origin is typing.Literal:
        return " or ".join(f'"{each}"' for each in inner)
    if origin is tuple:
        return f"list of {told(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {told(inner[1])}"
    if isinstance(kind, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return "any"
    return PLAIN.get(kind) or getattr(kind, "__name__", "any")


def inside(form: Any) -> Iterator[type]:
    """The types of a type's keys that are tables of keys themselves, and theirs."""
    for _, kind, _ in keys(form):
        for inner in leaves(kind):
            yield inner
            yield from inside(inner)


def leaves(kind: Any) -> Iterator[type]:
    """The dataclasses and models in a type."""
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel)):
        yield kind
    for inner in typing.get_args(kind):
        yield from leaves(inner)


def element(form: Any) -> Any:
    """What a file's lists are of."""
    return typing.get_args(form)[0] if typing.get_origin(form) is tuple else form


def summary(form: Any) -> str:
    """The first line of a type's docstring, as part of a sentence."""
    text = " ".join(inspect.cleandoc(form.__doc__).split("\n\n")[0].split()) + " "
    first = text[: text.index(". ")]
    return first if first[1].isupper() else first[0].lower() + first[1:]


def upper(text: str) -> str:
    """With a capital letter."""
    return text[0].upper() + text[1:]


def meanings(form: Any) -> dict[str, str]:
    """What the docstring's `Attributes` say, base classes' too."""
    found: dict[str, str] = {}
    for each in reversed(form.__mro__):
        _, _, text = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        for names, about in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", text, re.M):
            found |= dict.fromkeys(names.split(", "), " ".join(about.split()))
    return found


def anchor(name: str) -> str:
    """Where a heading is."""
    return re.sub(r"[^\w-]", "", name.lower())


if __name__ == "__main__":
    PAGE.write_text(page())
