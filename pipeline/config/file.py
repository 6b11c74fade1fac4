"""The build file: read from disk, changed by `--set`, checked, a frozen `Build` out."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from common.errors import ConfigError
from common.files import kind_of
from pipeline.config.build import Build
from pipeline.config.checks import OWN_RUNGS, table_problems
from pipeline.config.data import known_of
from pipeline.config.data_checks import data_problems, require_room
from pipeline.config.defaults import data_defaults, rate_default
from pipeline.config.errors import describe, problems

MAX_BYTES = 1 << 24
MAX_DEPTH = 16
"""Tables and arrays within each other; Retort's own are six deep."""

TOO_DEEP = f"tables or arrays more than {MAX_DEPTH} deep; give a build file"

# In a run of words with dots between, as keys are; the parser takes quadratic time for long ones.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:["']?[\w-]++["']?+[ \t]*+\.[ \t]*+){40}""")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


if TYPE_CHECKING:
    from models.data.outline import Outline

RENAMED = {"network": '[student] with kind = "imported", and the same keys'}
"""Tables of older build files, and what stands in their place."""


def load(path: Path, overrides: Sequence[str] = ()) -> Build:
    """Read and check a build file, or the configuration in the `build.lock.json` of a build.

    `overrides` are `KEY=VALUE`, as `--set` takes them. A build without a name has the file's.

    Raises:
        ConfigError: a line for each problem: the file, the dotted key, and what to do.
    """
    return parse(_tables(path, overrides), str(path))


def load_checked(path: Path, overrides: Sequence[str] = ()) -> Build:
    """A build file with all its defaults, checked by itself and with the data that it names.

    Raises as `load` and `check` do.
    """
    tables, where = _tables(path, overrides), str(path)
    config = parse(tables, where)
    seen = known_of(config.data) if config.data else None
    defaults = [*rate_default(config, seen), *(data_defaults(tables, config, seen) if seen else ())]
    for key, value in defaults:
        set_value(tables, key, value)
    config = parse(tables, where)
    if seen:
        check(config, where, seen)
    return config


def _tables(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    tables = plain(read_raw(path), str(path))
    for override in overrides:
        set_value(tables, *_split(override))
    return {"name": path.stem, **tables}


def parse(raw: Any, where: str) -> Build:
    """Check a build file's content; `where` names it in errors, which are as those of `load`."""
    tables = plain(raw, where)
    if old := [f"{key}: is now {new}" for key, new in RENAMED.items() if key in tables]:
        raise problems(where, old)
    try:
        config = Build.model_validate(tables)
    except ValidationError as error:
        raise problems(where, [f"{key}: {what}" for key, what in describe(error, Build)]) from error
    if found := list(table_problems(config)):
        raise problems(where, found)
    return config


def check(config: Build, where: str, seen: "Outline") -> None:
    """Check a build with what is known of its data; `where` names it in errors.

    Raises:
        ConfigError: a line for each problem.
        CapacityError: the student's weights alone are more than the chip holds.
    """
    if found := list(data_problems(config, seen)):
        raise problems(where, found)
    require_room(config, seen, where)


def left_out(config: Build, path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys that a build file leaves out, with their values in the build that it gives.

    Those of layers that the build file has are not among them.
    """
    whole = config.model_dump(mode="json", exclude_none=True)
    unused = {f"verify.{name}" for name in OWN_RUNGS if name not in config.student.rungs}
    found = _left_out(whole, _tables(path, overrides), "")
    return {key: value for key, value in found if key not in unused}


def _left_out(whole: Any, given: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(whole, Mapping) and (given is None or isinstance(given, Mapping)):
        for name, value in whole.items():
            yield from _left_out(value, (given or {}).get(name), f"{key}.{name}".removeprefix("."))
    elif given is None:
        yield key, whole
    elif isinstance(whole, list) and isinstance(given, list | tuple) and key != "student.layers":
        for at, (value, item) in enumerate(zip(whole, given, strict=False)):
            yield from _left_out(value, item, f"{key}[{at}]")


def with_values(config: Build, values: Mapping[str, Any]) -> Build:
    """The build with other values, by dotted keys as `set_value` takes them.

    Raises:
        ConfigError: a line for each problem of the build that it would be.
    """
    tables = config.model_dump()
    for key, value in values.items():
        set_value(tables, key, value)
    return parse(tables, config.name)


def set_value(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set a value in a build file's tables: `size.trials`, `student.layers[2].outputs`.

    `[*]` is every item of an array that has the key. Tables that are not there are added.

    Raises:
        ConfigError: the key is malformed, or goes through what is no table or no item of an array.
    """
    parts = _KEY_PART.findall(key)
    if not parts or _KEY.fullmatch(key) is None:
        raise ConfigError(f"{key}: is no key; give one such as student.epochs or student.layers[0].outputs")
    tables.update(_changed(tables, parts, value, key))


def _changed(old: Any, parts: Sequence[tuple[str, str]], value: Any, key: str) -> Any:
    """What `old` is with the value at the end of the path; tables and arrays on it are new."""
    if not parts:
        return value
    (name, index), *rest = parts
    if name:
        if old is not None and not isinstance(old, Mapping):
            raise ConfigError(f"{key}: {name} is no key, for what is before it is no table; give another key")
        return {**(old or {}), name: _changed((old or {}).get(name), rest, value, key)}
    if not isinstance(old, list | tuple):
        raise ConfigError(f"{key}: [{index}] is no item, for what is before it is no array; give another key")
    items = list(old)
    if index == "*":
        last = rest[0][0] if rest else None
        chosen = [at for at, item in enumerate(items) if last is None or item.get(last) is not None]
    else:
        chosen = [int(index)]
    if not chosen or max(chosen) >= len(items):
        raise ConfigError(f"{key}: there is no such item; the array has {len(items)}")
    for at in chosen:
        items[at] = _changed(items[at], rest, value, key)
    return tuple(items)


_KEY_PART = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+|\*)\]")
_KEY = re.compile(r"[A-Za-z_][\w-]*((\.[A-Za-z_][\w-]*)|\[(\d{1,4}|\*)\])*")
_WORD = re.compile(r"[\w./:-]+")


def _split(override: str) -> tuple[str, Any]:
    """`KEY=VALUE` as key and value; a word that is no TOML stands for itself."""
    key, mark, text = override.partition("=")
    if not mark:
        raise ConfigError(f"--set {override:.100}: no value; give KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if not _WORD.fullmatch(text.strip()):
            raise ConfigError(f"--set {override:.100}: the value is not TOML: {error!s:.100}") from error
        value = text.strip()
    return key.strip(), plain({"value": value}, f"--set {key:.100}")["value"]


def read_raw(path: Path) -> Any:
    """What a build file holds, or the `build.lock.json` of a build as its configuration; not checked.

    Raises:
        ConfigError: the file cannot be read, or is no TOML (a lock: JSON) in UTF-8.
    """
    text = _text(path)
    lock = path.suffix == ".json"
    try:
        if lock:
            return json.loads(text)["config"]
        if _LONG_KEY.search(text):
            raise RecursionError
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{path}: {TOO_DEEP}") from error
    except (ValueError, KeyError, TypeError) as error:
        if lock:
            raise ConfigError(f"{path}: no lock of a build ({error!r:.200}); give a build file") from error
        raise ConfigError(f"{path}: not TOML: {error!s:.300}") from error


def plain(raw: Any, where: str) -> dict[str, Any]:
    """The tables with tuples for arrays, which strict validation wants.

    Raises:
        ConfigError: they are no tables, are nested too deep, or hold a NUL character; begins with `where`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: holds no tables; give a build file")
    return {str(key): _tuples(value, where, str(key), 1) for key, value in raw.items()}


def _text(path: Path) -> str:
    try:
        if (other := kind_of(path)) is not None:  # a FIFO would be waited for
            raise ConfigError(f"{path}: is a {other}; give a build file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); give an existing build file") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES >> 20} MB; give a build file")
    if content.startswith(_UTF_16) or b"\0" in content[:4]:
        raise ConfigError(f"{path}: not UTF-8 but UTF-16 or UTF-32; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")  # Windows editors put a mark in front
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}; save it as UTF-8") from error


def _tuples(value: Any, where: str, key: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where}: {key:.100}: {TOO_DEEP}")
    if isinstance(value, dict):
        return {name: _tuples(item, where, f"{key}.{name}", depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_tuples(item, where, key, depth + 1) for item in value)
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where}: {key}: holds a NUL character, as no name and no path can; remove it")
    return value
