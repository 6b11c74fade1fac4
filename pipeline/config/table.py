"""Tables of the build file made from the classes that they configure.

A plug-in is a frozen dataclass whose fields are the keys of its table, with their types, defaults and limits.
A registry maps its name in the build file to the class. Registries are read when a table is validated, so
that a plug-in added to one at run time counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import Field, GetCoreSchemaHandler, ValidationError, create_model
from pydantic_core import PydanticCustomError, core_schema

from common.errors import ConfigError
from common.terminal import short
from pipeline.config.errors import describe, near
from pipeline.config.section import INCONSISTENT, MAX_COUNT, MAX_ITEMS, Section

S = TypeVar("S", bound=Section)
Registry = Callable[[], Mapping[str, type]]


class Kinds:
    """Marks a field that holds one of several kinds of plug-in, told apart by the key `tag`.

    The field's value is the plug-in itself. `default` is the kind of a table that does not say.
    """

    more: tuple[str, ...] = ()
    """Keys of a table that are not the plug-in's."""

    def __init__(self, registry: Registry, tag: str = "kind", default: str | None = None) -> None:
        self.registry, self.tag, self.default = registry, tag, default

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Pydantic's hook: validate by `made`, serialize by `dumped`."""
        dump = core_schema.plain_serializer_function_ser_schema(self.dumped, info_arg=True)
        return core_schema.no_info_plain_validator_function(self.made, serialization=dump)

    def made(self, value: Any) -> Any:
        """The plug-in that a table says; a plug-in is given back as it is."""
        registry = self.registry()
        if isinstance(value, tuple(registry.values())):
            return value
        if not isinstance(value, Mapping):
            raise inconsistent(("", f"input should be a table, not {short(repr(value))}"))
        name = value.get(self.tag, self.default)
        if name is None:
            raise inconsistent((self.tag, "missing; add it"))
        kind = registry.get(name) if isinstance(name, str) else None
        if kind is None:
            what = f"unknown {self.tag} '{short(str(name))}'; {near(str(name), registry)}"
            raise inconsistent((self.tag, what))
        return self._filled(kind, value)

    def _filled(self, kind: Any, value: Mapping[str, Any]) -> Any:
        if issubclass(kind, Section):
            return checked(kind, value)
        return filled(
            kind, {key: each for key, each in value.items() if key != self.tag}, (self.tag, *self.more)
        )

    def dumped(self, value: Any, info: core_schema.SerializationInfo) -> dict[str, Any]:
        """The table of a plug-in."""
        if isinstance(value, Section):
            return value.model_dump(mode=info.mode, exclude_none=info.exclude_none)
        name = next(name for name, kind in self.registry().items() if type(value) is kind)
        return {self.tag: name} | _fields(value, info)


class Settings:
    """Marks a field that holds a dataclass of one kind, whose fields are the keys of its table."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Pydantic's hook."""
        dump = core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True)
        return core_schema.no_info_plain_validator_function(self._made, serialization=dump)

    def _made(self, value: Any) -> Any:
        if isinstance(value, self.kind):
            return value
        if not isinstance(value, Mapping):
            raise inconsistent(("", f"input should be a table, not {short(repr(value))}"))
        return filled(self.kind, value)


PLUGINS: dict[type, Kinds] = {}
"""Base classes of plug-ins that fields of other plug-ins hold, with how their tables are told apart."""


def _dumped(value: Any, info: core_schema.SerializationInfo) -> Any:
    """A field's value as in a build file."""
    for base, kinds in PLUGINS.items():
        if isinstance(value, base):
            return kinds.dumped(value, info)
    if is_dataclass(value):
        return _fields(value, info)
    if isinstance(value, tuple):
        items = (_dumped(each, info) for each in value)
        return list(items) if info.mode == "json" else tuple(items)
    return value


def _fields(value: Any, info: core_schema.SerializationInfo) -> dict[str, Any]:
    found = {each.name: _dumped(getattr(value, each.name), info) for each in fields(value)}
    return {key: each for key, each in found.items() if each is not None or not info.exclude_none}


def filled(kind: Any, keys: Mapping[str, Any], more: tuple[str, ...] = ()) -> Any:
    """The dataclass with these keys, as `checked`."""
    found = checked(table_of(kind), keys, more)
    names = [each.name for each in fields(kind)]
    try:
        return kind(**{name: getattr(found, name) for name in names})
    except ConfigError as error:
        raise inconsistent(_placed(str(error), names)) from error


def checked(table: type[S], keys: Mapping[str, Any], more: tuple[str, ...] = ()) -> S:
    """A table with these keys, `more` of which are known beside its own; to be called in validators."""
    try:
        return table.model_validate(dict(keys))
    except ValidationError as error:
        raise inconsistent(*describe(error, table, more)) from error


@cache
def table_of(kind: Any) -> type[Section]:
    """The table with a key for each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    keys: dict[str, Any] = {}
    for each in fields(kind):
        default = ... if each.default is MISSING else each.default
        if each.default_factory is not MISSING:
            default = Field(default_factory=each.default_factory)
        keys[each.name] = (limited(hints[each.name]), default)
    made: Any = create_model
    table: type[Section] = made(kind.__name__, __base__=Section, __doc__=kind.__doc__, **keys)
    return table


def limited(hint: Any, limits: tuple[Any, ...] = ()) -> Any:
    """A field's type with its own limits and, where it has none, those of all numbers and arrays."""
    if get_origin(hint) is Annotated:
        inner, *own = get_args(hint)
        return limited(inner, (*own, *limits))
    if hint in PLUGINS or is_dataclass(hint):
        return Annotated[hint, PLUGINS.get(hint) or Settings(hint)]
    if hint in (int, float):
        low = () if _has(limits, Ge, Gt) else (Ge(-MAX_COUNT),)
        high = () if _has(limits, Le, Lt) else (Le(MAX_COUNT),)
        return Annotated[hint, *limits, *low, *high]
    if get_origin(hint) is tuple:
        items = tuple(each if each is ... else limited(each) for each in get_args(hint))
        most = () if _has(limits, MaxLen) else (MaxLen(MAX_ITEMS),)
        return Annotated[tuple[items], *limits, *most]  # type: ignore[valid-type]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(limited(each, limits) for each in get_args(hint))]  # noqa: UP007
    return Annotated[hint, *limits] if limits else hint


def _has(limits: tuple[Any, ...], *kinds: type) -> bool:
    return any(isinstance(limit, kinds) for limit in limits)


def _placed(error: str, names: list[str]) -> tuple[str, str]:
    """A plug-in's complaint as key and problem, without its own name, which the table's place says."""
    what = error.partition(": ")[2] or error
    setting, _, rest = what.partition(" ")
    return (setting, rest) if setting.partition("[")[0] in names else ("", what)


def inconsistent(*found: tuple[str, str]) -> PydanticCustomError:
    """The error of a table with these problems, each a key within the table and what is wrong."""
    return PydanticCustomError(INCONSISTENT, "keys that do not go together", {"problems": found})
