"""`build.lock.json` of a built folder: read, checked, and the folder's files held to it.

What a lock says is data, of whoever wrote it: all of it has its type, and no name leads out of the folder.
Files that differ from run to run are in no lock. Their digests are in `volatile.lock.json` beside it, which
whatever writes such a file keeps up to date.
"""

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from common.errors import ConfigError, StoreError
from common.files import write_atomic
from common.jsonfile import JsonFile
from pipeline.config.build import Build
from pipeline.config.file import parse
from pipeline.engine.store import digest_file, digest_of

LOCK = "build.lock.json"
VOLATILE = "volatile.lock.json"
AGAIN = "run `retort build` again"


def _inside(name: str) -> str:
    """A file's name below the folder: parts by `/`, none of which leads elsewhere."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise ValueError("does not name a file of the folder")
    if name in (LOCK, VOLATILE):
        raise ValueError("is the lock itself")
    return name


Name = Annotated[str, Field(max_length=1024), AfterValidator(_inside)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(_Checked):
    """What a file holds.

    Attributes:
        sha256: the digest of its content.
        size: in bytes.
    """

    sha256: Digest
    size: Annotated[int, Field(ge=0)]


class StageEntry(_Checked):
    """A stage.

    Attributes:
        key: null where it differs from build to build.
        version: of the stage's code.
        tools: versions and digests, by name.
        files: what it left, by name.
        facts: small facts.
    """

    key: Digest | None
    version: int
    tools: dict[str, str]
    files: dict[Name, FileEntry]
    facts: dict[str, JsonValue]


class Lock(_Checked):
    """What a build was made of and gave: no times, no paths of this machine, the same on every rerun.

    Attributes:
        build: its name.
        retort: the version.
        config: the build file, with all defaults.
        config_sha256: the digest of `config`.
        seed: of the build.
        board: its name.
        stages: in order.
        volatile: files that differ from run to run.
    """

    build: Word
    retort: str
    config: dict[str, JsonValue]
    config_sha256: Digest
    seed: int
    board: str
    stages: dict[Word, StageEntry]
    volatile: tuple[Name, ...]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if digest_of(self.config) != self.config_sha256:
            raise ValueError("config is not that of config_sha256")
        board = self.config.get("board")
        told = (
            self.config.get("name"),
            self.config.get("seed"),
            board.get("name") if isinstance(board, dict) else None,
        )
        if told != (self.build, self.seed, self.board):
            raise ValueError("build, seed or board is not that of config")
        names = [name for stage in self.stages.values() for name in stage.files] + [*self.volatile]
        if len(set(names)) != len(names):
            raise ValueError("a file is listed twice")
        return self

    @property
    def files(self) -> dict[str, FileEntry]:
        """The files of all stages, by name, but for the volatile ones."""
        return {name: entry for stage in self.stages.values() for name, entry in stage.files.items()}


class Volatile(_Checked):
    """What files hold that are no stage's, or differ from run to run.

    Attributes:
        lock: the digest of `build.lock.json`.
        files: by name.
    """

    lock: Digest
    files: dict[Name, FileEntry]


LOCK_FILE = JsonFile(LOCK, Lock, ())
VOLATILE_FILE = JsonFile(VOLATILE, Volatile, ())


@dataclass(frozen=True)
class BuiltFolder:
    """A built folder whose files are what was built: where it is, its lock, and what was asked for."""

    folder: Path
    lock: Lock
    config: Build

    @property
    def keys(self) -> dict[str, str]:
        """The key of each stage; `None` in words where a build has no key to compare."""
        return {name: str(stage.key) for name, stage in self.lock.stages.items()}

    def path(self, name: str) -> Path:
        """Where a file of the build is; StoreError where the build has none of that name."""
        if name not in self.lock.files:
            raise StoreError(f"{self.folder}: built without {name}; run `retort build` to its end")
        return self.folder / name


def open_built(folder: Path) -> BuiltFolder:
    """A built folder, every file of which is held to the digest that its build gave it.

    Raises `StoreError`: the folder is no build's, its lock is malformed, or a file is not what was built.
    """
    lock = read_lock(folder)
    try:
        config = parse(lock.config, str(folder / LOCK))
    except ConfigError as error:
        raise StoreError(f"{error}; {AGAIN}") from error
    entries = _entries(folder, lock)
    for name, entry in entries.items():
        _check(folder, name, entry)
    for path in _strangers(folder, entries):
        raise StoreError(f"{path}: is no file of this build; remove it, or {AGAIN}")
    return BuiltFolder(folder, lock, config)


def read_lock(folder: Path) -> Lock:
    """The `build.lock.json` of a built folder; raises `StoreError`."""
    path = folder / LOCK
    if not path.exists():
        raise StoreError(f"{path}: not there; give the folder of a finished build")
    return _read(path, Lock)


def read_volatile(folder: Path) -> Volatile | None:
    """The `volatile.lock.json` of a built folder, if it has one; raises `StoreError`."""
    path = folder / VOLATILE
    return _read(path, Volatile) if path.exists() else None


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Write a volatile file of a built folder, and its digest into `volatile.lock.json`.

    Raises `StoreError`: the folder's locks are malformed. Raises `DiskError`: the folder cannot be written.
    """
    before = read_volatile(folder)
    entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    path = confined(folder, name)
    write_atomic(path, content)
    write_volatile(folder, {**(before.files if before else {}), name: entry})
    return path


def write_volatile(folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Write `volatile.lock.json` for the lock that is in the folder; raises `DiskError`."""
    held = Volatile(lock=digest_file(folder / LOCK), files=dict(files))
    write_atomic(folder / VOLATILE, (json.dumps(held.model_dump(), indent=2, sort_keys=True) + "\n").encode())


def confined(folder: Path, name: str) -> Path:
    """The path of a file below `folder`; StoreError where a link on the way leads out of it."""
    path = folder / name
    try:
        inside = path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # names too long, links in a circle
        raise StoreError(f"{path.parent}: cannot be reached ({error}); remove it") from error
    if not inside:
        raise StoreError(f"{path.parent}: leads out of {folder}; remove the link")
    return path


T = TypeVar("T", bound=_Checked)


def _read(path: Path, form: type[T]) -> T:
    try:
        if not path.is_file():
            raise StoreError(f"{path}: is no file; {AGAIN}")
        return form.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        text = f"{where!r:.200}"[1:-1]
        raise StoreError(f"{path}: not a lock of a build ({text}: {first['msg']:.200}); {AGAIN}") from error


def _entries(folder: Path, lock: Lock) -> Mapping[str, FileEntry]:
    """What every file of the folder has to hold, the lock itself included."""
    path, volatile = folder / VOLATILE, read_volatile(folder)
    if volatile is None:
        raise StoreError(f"{path}: not there; {AGAIN}")
    if volatile.lock != digest_file(folder / LOCK):
        raise StoreError(f"{path}: is of another {LOCK}; {AGAIN}")
    missing = [name for name in lock.volatile if name not in volatile.files]
    if missing:
        raise StoreError(f"{path}: has no digest of {', '.join(missing)}; {AGAIN}")
    double = sorted(lock.files.keys() & volatile.files.keys())
    if double:
        raise StoreError(f"{path}: {', '.join(double)} is in {LOCK}; {AGAIN}")
    return {**lock.files, **volatile.files}


def _check(folder: Path, name: str, entry: FileEntry) -> None:
    path = confined(folder, name)
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path}: is no file, and was one when it was built; {AGAIN}")
        same = found.st_size == entry.size and digest_file(path) == entry.sha256
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}), and was built; {AGAIN}") from error
    if not same:
        raise StoreError(f"{path}: is not what was built, by its digest; {AGAIN}")


def _strangers(folder: Path, entries: Mapping[str, Any]) -> Iterator[Path]:
    """What stands beside files of the build in the folders that the build has below its own.

    At the top users may keep what they like: nothing is read there that the build does not name.
    """
    tops = sorted({name.split("/")[0] for name in entries if "/" in name})
    for path in (path for top in tops for path in sorted((folder / top).rglob("*"))):
        plain = path.is_dir() and not path.is_symlink()
        if not plain and path.relative_to(folder).as_posix() not in entries:
            yield path
