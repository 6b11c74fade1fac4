"""Settings: frozen dataclasses that state the limits of each field once.

`Annotated[float, Gt(0)]` is checked by `check_settings` when an instance is made, and by pydantic where a
build file's table is generated from the dataclass.
"""

import types
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from common.errors import ConfigError

LEAST, MOST = 1e-9, 1e9
"""Of numbers above 0: in float32 their squares and quotients are numbers, too."""

Positive = Annotated[float, Ge(LEAST), Le(MOST)]
NotNegative = Annotated[float, Ge(0), Le(MOST)]
Share = Annotated[float, Ge(0), Le(1)]
"""A share that may be nothing or all."""
Part = Annotated[float, Gt(0), Le(1)]
"""A share that is more than nothing."""
Fraction = Annotated[float, Gt(0), Lt(1)]
"""A share that is neither nothing nor all."""
Count = Annotated[int, Ge(1)]


def check_settings(settings: Any, where: str) -> None:
    """Check the fields of a dataclass against their annotations: limits, `Literal` values, items of tuples.

    Raises `ConfigError`: `where`, the first field that is out of range, and what to give.
    """
    kind: Any = type(settings)
    for key, hint in _hints(kind).items():
        _check(where, key, getattr(settings, key), hint)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in fields(kind)}


def _check(where: str, key: str, value: Any, hint: Any) -> None:
    limits: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, limits = get_args(hint)[0], get_args(hint)[1:]
    if get_origin(hint) in (Union, types.UnionType):
        if value is not None:
            _check(where, key, value, next(each for each in get_args(hint) if each is not type(None)))
        return
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ConfigError(f"{where}: {key} is {value!r}; give {' or '.join(map(repr, get_args(hint)))}")
    if not all(_holds(limit, value) for limit in limits):
        found = f"has {len(value)} items" if isinstance(value, tuple) else f"is {value}"
        raise ConfigError(f"{where}: {key} {found}; give {', '.join(map(_said, limits))}")
    if get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis:
        for at, each in enumerate(value):
            _check(where, f"{key}[{at}]", each, get_args(hint)[0])


def _holds(limit: Any, value: Any) -> bool:
    match limit:
        case Ge(low):
            return bool(value >= low)
        case Gt(low):
            return bool(value > low)
        case Le(high):
            return bool(value <= high)
        case Lt(high):
            return bool(value < high)
        case MinLen(least):
            return len(value) >= least
        case MaxLen(most):
            return len(value) <= most
    return True


def _said(limit: Any) -> str:
    match limit:
        case Ge(low):
            return "a number above 0" if low == LEAST else f"at least {low:g}"
        case Gt(low):
            return f"a number above {low:g}"
        case Le(high):
            return f"up to {high:g}"
        case Lt(high):
            return f"below {high:g}"
        case MinLen(least):
            return f"at least {least}"
        case MaxLen(most):
            return f"at most {most}"
    return str(limit)
