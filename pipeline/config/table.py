"""Tables of the build file made from the classes that they configure.

A plug-in is a frozen dataclass whose fields are the keys of its table, with their types, defaults and limits.
A registry maps its name in the build file to the class. Registries are read when a table is validated, so
that a plug-in added to one at run time counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import Field, GetCoreSchemaHandler, ValidationError, create_model
from pydantic_core import PydanticCustomError, core_schema, to_jsonable_python

from common.errors import ConfigError
from common.printing import short
from pipeline.config.errors import describe, near
from pipeline.config.section import INCONSISTENT, MAX_COUNT, MAX_ITEMS, Section

Registry = Callable[[], Mapping[str, type]]


def table_of(kind: Any) -> type[Section]:
    """The table of a plug-in: its own, where the plug-in is a table, or one with a key for each field."""
    return kind if issubclass(kind, Section) else _generated(kind)


@cache
def _generated(kind: Any) -> type[Section]:
    hints = get_type_hints(kind, include_extras=True)
    keys: dict[str, Any] = {}
    for each in fields(kind):
        default = ... if each.default is MISSING else each.default
        if each.default_factory is not MISSING:
            default = Field(default_factory=each.default_factory)
        keys[each.name] = (_bounded(hints[each.name]), default)
    made: Any = create_model
    table: type[Section] = made(kind.__name__, __base__=Section, __doc__=kind.__doc__, **keys)
    return table


def _bounded(hint: Any) -> Any:
    """A field's type with the limits that all numbers and arrays of the build file have."""
    if hint in (int, float):
        return Annotated[hint, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
    if get_origin(hint) is tuple:
        inner = tuple(each if each is ... else _bounded(each) for each in get_args(hint))
        return Annotated[tuple[inner], Field(max_length=MAX_ITEMS)]  # type: ignore[valid-type]
    return hint


class Kinds:
    """Marks a field that holds one of several kinds of plug-in, told apart by the key `tag`.

    The field's value is the plug-in itself. `default` is the kind of a table that does not say.
    """

    def __init__(self, registry: Registry, tag: str = "kind", default: str | None = None) -> None:
        self.registry, self.tag, self.default = registry, tag, default

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Pydantic's hook: validate by `made`, serialize by `dumped`."""
        dump = core_schema.plain_serializer_function_ser_schema(self._dumped, info_arg=True)
        return core_schema.no_info_plain_validator_function(self.made, serialization=dump)

    def made(self, value: Any) -> Any:
        """The plug-in that a table says; a plug-in is given back as it is."""
        registry = self.registry()
        if isinstance(value, tuple(registry.values())):
            return value
        if not isinstance(value, Mapping):
            raise table_problems(("", f"input should be a table, not {short(repr(value))}"))
        name = value.get(self.tag, self.default)
        if name is None:
            raise table_problems((self.tag, "missing; add it"))
        kind = registry.get(name) if isinstance(name, str) else None
        if kind is None:
            what = f"unknown {self.tag} '{short(str(name))}'; {near(str(name), registry)}"
            raise table_problems((self.tag, what))
        return self._filled(kind, value)

    def _filled(self, kind: type, value: Mapping[str, Any]) -> Any:
        table = table_of(kind)
        own = issubclass(kind, Section)
        keys = value if own else {key: each for key, each in value.items() if key != self.tag}
        try:
            found = table.model_validate(dict(keys))
        except ValidationError as error:
            raise table_problems(*describe(error, table, () if own else (self.tag,))) from error
        if own:
            return found
        names = [each.name for each in fields(kind)]
        try:
            return kind(**{name: getattr(found, name) for name in names})
        except ConfigError as error:
            raise table_problems(_placed(str(error), names)) from error

    def _dumped(self, value: Any, info: core_schema.SerializationInfo) -> dict[str, Any]:
        if isinstance(value, Section):
            return value.model_dump(mode=info.mode, exclude_none=info.exclude_none)
        assert is_dataclass(value) and not isinstance(value, type)
        name = next(name for name, kind in self.registry().items() if type(value) is kind)
        keys = {self.tag: name} | asdict(value)
        found: dict[str, Any] = to_jsonable_python(keys) if info.mode == "json" else keys
        return {key: each for key, each in found.items() if each is not None or not info.exclude_none}


def _placed(error: str, names: list[str]) -> tuple[str, str]:
    """A plug-in's complaint as key and problem, without its own name, which the table's place says."""
    what = error.partition(": ")[2] or error
    setting, _, rest = what.partition(" ")
    return (setting, rest) if setting in names else ("", what)


def table_problems(*found: tuple[str, str]) -> PydanticCustomError:
    """The error of a table with these problems, each a key within the table and what is wrong."""
    return PydanticCustomError(INCONSISTENT, "keys that do not go together", {"problems": found})
