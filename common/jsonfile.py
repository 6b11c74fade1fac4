"""JSON files with a schema: a dataclass, or a tuple of them, read strictly and written with one spelling."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from common.errors import RetortError, StoreError

T = TypeVar("T")


@dataclass(frozen=True)
class JsonFile(Generic[T]):
    """A JSON file of a build's folder.

    Attributes:
        name: below the folder.
        form: the type of its content. Keys of the file that the type does not have are ignored.
        stages: which stages write it.
        error: what an unreadable file raises.
    """

    name: str
    form: type[T]
    stages: tuple[str, ...]
    error: type[RetortError] = StoreError

    def load(self, folder: Path) -> T:
        """Read the file below `folder`, as `read` does."""
        return self.read(folder / self.name)

    def read(self, path: Path) -> T:
        """Read the file at `path`; raises `error`, which names the file and the key that is wrong."""
        try:
            return self._adapter.validate_json(path.read_bytes(), strict=True)
        except OSError as error:
            raise self.error(
                f"{path}: cannot be read ({error.strerror}); run `retort build` to its end"
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise self.error(f"{path}: {where}: {first['msg']}; run `retort build` again") from error

    def save(self, folder: Path, value: T) -> None:
        """Write the file."""
        (folder / self.name).write_text(self.text(value))

    def text(self, value: T) -> str:
        """What `save` writes."""
        return json.dumps(self.plain(value), indent=2) + "\n"

    def plain(self, value: T) -> Any:
        """The value as JSON-able data, without fields that are None by default."""
        return _plain(value)

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.form)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        found = {each.name: getattr(value, each.name) for each in fields(value)}
        absent = {each.name for each in fields(value) if each.default is None and found[each.name] is None}
        return {name: _plain(each) for name, each in found.items() if name not in absent}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
