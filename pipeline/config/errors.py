"""Pydantic's findings, a line each: the dotted key, what is wrong, what to do."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.errors import ConfigError
from common.printing import short
from pipeline.config.section import INCONSISTENT

DISCRIMINATORS = ("kind", "method", "source")
"""Keys whose value says which of several tables a table is."""

MOST = 20
"""Problems of a file that are told."""
MANY = 10 * MOST
"""Of pydantic's findings that are looked at: each unknown key is compared with all known ones."""


def problems(where: str, found: Sequence[str]) -> ConfigError:
    """The error of a file with these problems, each `dotted.key: what; what to do`."""
    told = [f"{where}: {problem}" for problem in found[:MOST]]
    if len(found) > MOST:
        told.append(f"{where}: and more problems")
    return ConfigError(*told)


def describe(
    error: ValidationError, model: type[BaseModel], more: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """All findings as dotted key and problem; of a misspelt key not also that it is missing.

    `more` are keys of the table beside those of `model`.
    """
    findings = _own(error.errors(include_url=False))[:MANY]
    meant = {(*finding["loc"][:-1], _meant(finding, model)) for finding in findings}
    told = (each for each in findings if each["type"] != "missing" or each["loc"] not in meant)
    return list(dict.fromkeys(pair for finding in told for pair in _pairs(finding, model, more)))


def _meant(finding: ErrorDetails, model: type[BaseModel]) -> str | None:
    """The key that an unknown one most likely stands for."""
    return _close(str(finding["loc"][-1]), _known(finding, model)) if _is_unknown(finding) else None


def _is_unknown(finding: ErrorDetails) -> bool:
    return finding["type"] == "extra_forbidden"


def _known(finding: ErrorDetails, model: type[BaseModel], more: Sequence[str] = ()) -> set[str]:
    """Keys of the table that an unknown one is in."""
    own = more if len(finding["loc"]) == 1 else ()
    return {key for table in _walk(model, finding["loc"][:-1])[1] for key in table.model_fields} | {*own}


def _pairs(finding: ErrorDetails, model: type[BaseModel], more: Sequence[str]) -> Iterator[tuple[str, str]]:
    key = _key(finding, model)
    if finding["type"] != INCONSISTENT:
        yield key, _what(finding, model, more)
        return
    for name, what in finding["ctx"]["problems"]:
        yield key + (name if name.startswith("[") or not key else f".{name}" if name else ""), what


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
        text += f"[{part}]" if isinstance(part, int) else f".{short(part)}"
    if finding["type"].startswith("union_tag"):
        text += f".{_discriminator(finding)}"
    return text.removeprefix(".")


def _what(finding: ErrorDetails, model: type[BaseModel], more: Sequence[str] = ()) -> str:
    kind, value = finding["type"], finding["input"]
    if _is_unknown(finding):
        return "unknown key; " + near(str(finding["loc"][-1]), _known(finding, model, more))
    if kind in ("missing", "union_tag_not_found"):
        return "missing; add it"
    if kind == "union_tag_invalid":
        given = str(finding["ctx"]["tag"])
        tags = {tag for table in _walk(model, finding["loc"])[1] for tag in _tags(table)}
        return f"unknown {_discriminator(finding)} '{short(given)}'; {near(given, tags)}"
    if kind == "literal_error":
        return f"unknown value {short(repr(value))}; give {finding['ctx']['expected']}"
    message = finding["msg"][0].lower() + finding["msg"][1:]
    shown = f", not {short(repr(value))}" if isinstance(value, str | int | float) else ""
    return message + shown


def near(name: str, known: Iterable[str]) -> str:
    """What a name may have been meant to be."""
    close = _close(name, known)
    return f"did you mean '{close}'?" if close else f"known are {', '.join(sorted(known))}"


def _close(name: str, known: Iterable[str]) -> str | None:
    found = get_close_matches(name[:100], sorted(known), n=1, cutoff=0.75)
    return found[0] if found else None


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
