"""The files of a build's folder that a report reads: those that the build names."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from common.errors import StoreError
from pipeline.engine.lock import Lock, read_volatile

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """A folder's files; `names` are those of the build, all of them where no lock says."""

    folder: Path
    names: frozenset[str] | None

    def has(self, name: str) -> bool:
        """Whether the build has the file: others that lie there are not its own."""
        return (self.names is None or name in self.names) and (self.folder / name).exists()

    def mandatory(self, name: str, form: type[T]) -> T:
        """A file that must be there, as `form`."""
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be read ({error.strerror}); run `retort build` to its end"
            ) from error
        try:
            return TypeAdapter(form).validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise StoreError(f"{path}: {where}: {first['msg']}; run `retort build` again") from error

    def optional(self, name: str, form: type[T]) -> T | None:
        """A file as `form`, where the build has it."""
        return self.mandatory(name, form) if self.has(name) else None


def named(folder: Path, lock: Lock | None) -> frozenset[str] | None:
    """The files that a folder's locks name; None where it has none."""
    if lock is None:
        return None
    volatile = read_volatile(folder)
    return frozenset([*lock.files, *lock.volatile, *(volatile.files if volatile else ())])
