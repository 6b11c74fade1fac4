"""The build file as it is on disk: its encoding, its size, how deep it is nested."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from common.errors import ConfigError
from common.files import kind_of

MAX_BYTES = 1 << 24
MAX_DEPTH = 16
"""Tables and arrays within each other; Retort's own are six deep."""

TOO_DEEP = f"tables or arrays more than {MAX_DEPTH} deep; give a build file"

# In a run of words with dots between, as keys are; the parser takes quadratic time for long ones.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:["']?[\w-]++["']?+[ \t]*+\.[ \t]*+){40}""")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


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
