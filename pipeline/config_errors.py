"""Pydantic's findings as one line: the dotted key, what is wrong, what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

DISCRIMINATORS = ("kind", "method", "source")
"""Keys whose value says which of several tables a table is."""


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding as `dotted.key: what; what to do`, and how many more there are."""
    findings = _own(error.errors(include_url=False))
    # An unknown key is most likely a missing one misspelt: report it rather than the missing one.
    first = min(findings, key=lambda finding: finding["type"] != "extra_forbidden")
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{_key(first, model)}: {_what(first, model)}{more}"


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


def _key(finding: ErrorDetails, model: type[BaseModel]) -> str:
    text = ""
    for part in _walk(model, finding["loc"])[0]:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    if finding["type"].startswith("union_tag"):
        text += f".{_discriminator(finding)}"
    return text.removeprefix(".")


def _what(finding: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value = finding["type"], finding["input"]
    if kind == "extra_forbidden":
        *parents, name = finding["loc"]
        tables = _walk(model, parents)[1]
        return "unknown key; " + _near(str(name), {key for table in tables for key in table.model_fields})
    if kind in ("missing", "union_tag_not_found"):
        return "missing; add it"
    if kind == "union_tag_invalid":
        given = str(finding["ctx"]["tag"])
        tags = {tag for table in _walk(model, finding["loc"])[1] for tag in _tags(table)}
        return f"unknown {_discriminator(finding)} '{given}'; {_near(given, tags)}"
    if kind == "literal_error":
        return f"unknown value {value!r}; give {finding['ctx']['expected']}"
    message = finding["msg"][0].lower() + finding["msg"][1:]
    shown = f", not {value!r}" if isinstance(value, str | int | float) else ""
    return message + shown


def _near(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"


def _discriminator(finding: ErrorDetails) -> str:
    return str(finding["ctx"]["discriminator"]).strip("'")


def _walk(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[int | str], list[type[BaseModel]]]:
    """The location as the user knows it, and the tables that may be there.

    Pydantic puts the tag of the table it chose into the location, which is no key of the build file.
    """
    plain: list[int | str] = []
    tables: list[type[BaseModel]] = [model]
    for part in loc:
        tagged = [table for table in tables if part in _tags(table)]
        if tagged:
            tables = tagged
            continue
        plain.append(part)
        if isinstance(part, str):
            fields = [table.model_fields[part] for table in tables if part in table.model_fields]
            tables = [inner for field in fields for inner in _models(field.annotation)]
    return plain, tables


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation holds: itself, or those inside its tuple, union or `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models(inner)]


def _tags(table: type[BaseModel]) -> tuple[str, ...]:
    """The values of the table's discriminator, if it has one."""
    fields = [table.model_fields[name] for name in DISCRIMINATORS if name in table.model_fields]
    return tuple(str(value) for field in fields for value in get_args(field.annotation))
