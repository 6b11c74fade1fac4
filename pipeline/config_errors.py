"""Pydantic's findings as one line: the dotted key, what is wrong, what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding as `dotted.key: what; what to do`, and how many more there are."""
    findings = _own(error.errors(include_url=False))
    # An unknown key is most likely a missing one misspelt: report it rather than the missing one.
    first = min(findings, key=lambda finding: finding["type"] != "extra_forbidden")
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    tags = _tags(model)
    return f"{_key(first, tags)}: {_what(first, model, tags)}{more}"


def _own(findings: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Findings without the "too short" of an array, where it only follows from a faulty item."""
    return [
        finding
        for finding in findings
        if finding["type"] != "too_short"
        or not any(
            other["loc"][: len(finding["loc"])] == finding["loc"] != other["loc"] for other in findings
        )
    ]


def _key(finding: ErrorDetails, tags: frozenset[str]) -> str:
    text = ""
    for part in _plain(finding["loc"], tags):
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    if finding["type"].startswith("union_tag"):
        text += ".method"
    return text.removeprefix(".")


def _plain(loc: Sequence[int | str], tags: frozenset[str]) -> list[int | str]:
    """The location without the union tags that pydantic puts after an index."""
    return [part for at, part in enumerate(loc) if not (at and isinstance(loc[at - 1], int) and part in tags)]


def _what(finding: ErrorDetails, model: type[BaseModel], tags: frozenset[str]) -> str:
    kind, value = finding["type"], finding["input"]
    if kind == "extra_forbidden":
        *parents, name = finding["loc"]
        return "unknown key; " + _near(str(name), _fields(model, parents))
    if kind in ("missing", "union_tag_not_found"):
        return "missing; add it"
    if kind == "union_tag_invalid":
        given = str(finding["ctx"]["tag"])
        return f"unknown method '{given}'; " + _near(given, tags)
    if kind == "literal_error":
        return f"unknown value {value!r}; give {finding['ctx']['expected']}"
    message = finding["msg"][0].lower() + finding["msg"][1:]
    shown = f", not {value!r}" if isinstance(value, str | int | float) else ""
    return message + shown


def _near(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"


def _fields(model: type[BaseModel], loc: Sequence[int | str]) -> Iterable[str]:
    """Names of the fields of the table at `loc`."""
    types: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        tagged = [each for each in types if _tag(each) == part]
        types = tagged or [
            inner
            for each in types
            if part in each.model_fields
            for inner in _models(each.model_fields[part].annotation)
        ]
    return {name for each in types for name in each.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation holds: itself, or those inside its tuple, union or `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models(inner)]


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("method")
    return str(get_args(field.annotation)[0]) if field else None


def _tags(model: type[BaseModel]) -> frozenset[str]:
    """The `method` tags of every discriminated union under `model`."""
    found: set[str] = set()
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            tag = _tag(inner)
            found |= {tag} if tag else _tags(inner)
    return frozenset(found)
