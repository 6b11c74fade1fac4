"""Pydantic's faults, a line each: the dotted key, what is wrong, what to do."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from common.errors import ConfigError
from common.terminal import short
from pipeline.config.section import INCONSISTENT

MOST = 20
"""Problems of a file that are told."""
MANY = 10 * MOST
"""Of pydantic's faults that are looked at: each unknown key is compared with all known ones."""


def problems(where: str, found: Sequence[str]) -> ConfigError:
    """The error of a file with these problems, each `dotted.key: what; what to do`."""
    told = [f"{where}: {problem}" for problem in found[:MOST]]
    if len(found) > MOST:
        told.append(f"{where}: and more problems")
    return ConfigError(*told)


def describe(
    error: ValidationError, model: type[BaseModel], more: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """All faults as dotted key and problem; of a misspelt key not also that it is missing.

    `more` are keys of the table beside those of `model`.
    """
    faults = _own(error.errors(include_url=False))[:MANY]
    meant = {(*fault["loc"][:-1], _meant(fault, model)) for fault in faults}
    told = (each for each in faults if each["type"] != "missing" or each["loc"] not in meant)
    return list(dict.fromkeys(pair for fault in told for pair in _pairs(fault, model, more)))


def near(name: str, known: Iterable[str]) -> str:
    """What a name may have been meant to be."""
    close = _close(name, known)
    return f"did you mean '{close}'?" if close else f"known are {', '.join(sorted(known))}"


def _meant(fault: ErrorDetails, model: type[BaseModel]) -> str | None:
    """The key that an unknown one most likely stands for."""
    unknown = fault["type"] == "extra_forbidden"
    return _close(str(fault["loc"][-1]), _known(fault, model)) if unknown else None


def _known(fault: ErrorDetails, model: type[BaseModel], more: Sequence[str] = ()) -> set[str]:
    """Keys of the table that an unknown one is in."""
    tables: list[type[BaseModel]] = [model]
    for part in fault["loc"][:-1]:
        if isinstance(part, str):
            found = [table.model_fields[part] for table in tables if part in table.model_fields]
            tables = [inner for field in found for inner in _models(field.annotation)]
    own = more if len(fault["loc"]) == 1 else ()
    return {key for table in tables for key in table.model_fields} | {*own}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation holds: itself, or those inside its tuple, union or `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models(inner)]


def _pairs(fault: ErrorDetails, model: type[BaseModel], more: Sequence[str]) -> Iterator[tuple[str, str]]:
    parts = (f"[{part}]" if isinstance(part, int) else f".{short(part)}" for part in fault["loc"])
    key = "".join(parts).removeprefix(".")
    if fault["type"] != INCONSISTENT:
        yield key, _what(fault, model, more)
        return
    for name, what in fault["ctx"]["problems"]:
        yield key + (name if name.startswith("[") or not key else f".{name}" if name else ""), what


def _own(faults: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Faults without the "too short" of an array, where it only follows from a faulty item."""
    return [
        fault
        for fault in faults
        if fault["type"] != "too_short"
        or not any(other["loc"][: len(fault["loc"])] == fault["loc"] != other["loc"] for other in faults)
    ]


def _what(fault: ErrorDetails, model: type[BaseModel], more: Sequence[str]) -> str:
    kind, value = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return "unknown key; " + near(str(fault["loc"][-1]), _known(fault, model, more))
    if kind == "missing":
        return "missing; add it"
    if kind == "literal_error":
        return f"unknown value {short(repr(value))}; give {fault['ctx']['expected']}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    shown = f", not {short(repr(value))}" if isinstance(value, str | int | float) else ""
    return message + shown


def _close(name: str, known: Iterable[str]) -> str | None:
    found = get_close_matches(name[:100], sorted(known), n=1, cutoff=0.75)
    return found[0] if found else None
