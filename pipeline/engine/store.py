"""The content-addressed store of finished stages.

```
objects/ab/cdef...      files by the sha256 of their content, read-only
manifests/KEY.json      what a finished stage left; written last, so no manifest means not done
partial/KEY/            checkpoints of an unfinished stage; survives kills, removed at publish
history/BUILD/STAGE.json  what the stage's key was last made of, to explain a rebuild
failed/BUILD/STAGE/     what a failed stage left, where the build's own folder does not have it
locks/KEY, tmp/         one process a key; whatever lies in tmp without its lock held is stale
```
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from common.errors import StoreError
from common.files import copy_tree, move, sync, write_atomic, writing

REPAIR = "run `retort build --repair FILE`"
CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file of a stage: the digest of its content, and its size."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a finished stage left: files by name, and small JSON facts. Says nothing of when."""

    key: str
    stage: str
    version: int
    files: Mapping[str, StoredFile]
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able data."""
        files = {name: vars(file) for name, file in self.files.items()}
        return {**vars(self), "files": files, "facts": dict(self.facts)}


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: object) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """A store in one folder, safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._tmp = self.root / "tmp"
        with writing(self.root):
            for folder in (self._tmp, self.root / "locks", self.root / "manifests"):
                folder.mkdir(parents=True, exist_ok=True)

    def manifest(self, key: str) -> Manifest | None:
        """The manifest of a finished stage, or None; StoreError if it is damaged."""
        path = self._manifest_path(key)
        try:
            raw = json.loads(path.read_bytes())
            seal = raw.pop("seal")
            files = {name: StoredFile(**entry) for name, entry in raw.pop("files").items()}
            manifest = Manifest(**raw, files=files)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: the manifest is damaged; {REPAIR}") from error
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
        if manifest.key != key or digest_of(manifest.to_json()) != seal:
            raise StoreError(f"{path}: the manifest of stage '{manifest.stage}' was altered; {REPAIR}")
        return manifest

    def path(self, manifest: Manifest, name: str) -> Path:
        """The stored file `name` of a stage, its digest verified now; StoreError if it is damaged."""
        stored = manifest.files.get(name)
        if stored is None:
            raise StoreError(
                f"stage '{manifest.stage}' left no file '{name}'; it has {', '.join(manifest.files)}"
            )
        path = self._checked_size(manifest, name, stored)
        if digest_file(path) != stored.sha256:
            raise StoreError(_damage(path, manifest, name, "was altered"))
        return path

    def check(self, manifest: Manifest, *, deep: bool = True) -> None:
        """Raise StoreError unless a stage's files are there and whole (`deep`: digests, not only sizes)."""
        for name, stored in manifest.files.items():
            if deep:
                self.path(manifest, name)
            else:
                self._checked_size(manifest, name, stored)

    def publish(
        self, key: str, stage: str, version: int, files: Mapping[str, Path], facts: Mapping[str, Any]
    ) -> Manifest:
        """Store a finished stage's files, then its manifest. The caller holds the key's lock."""
        with writing(self.root):
            stored = {name: self._put(key, path) for name, path in sorted(files.items())}
        manifest = Manifest(key, stage, version, stored, facts)
        sealed = {**manifest.to_json(), "seal": digest_of(manifest.to_json())}
        data = json.dumps(sealed, sort_keys=True, indent=1, allow_nan=False).encode()
        write_atomic(self._manifest_path(key), data, self._temporary(key))
        shutil.rmtree(self._partial_path(key), ignore_errors=True)
        return manifest

    def discard(self, key: str) -> None:
        """Forget a finished stage: its manifest goes, so that it counts as not done."""
        self._manifest_path(key).unlink(missing_ok=True)

    def partial(self, key: str) -> Path:
        """The folder of an unfinished stage that survives kills."""
        path = self._partial_path(key)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def work(self, key: str) -> Iterator[Path]:
        """An empty folder for a stage's outputs, gone afterwards. The caller holds the key's lock."""
        path = self._temporary(key)
        with writing(path):
            path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a key against other processes and threads; `waiting` is called if somebody else has it."""
        with self._lock_file(key) as file:
            if not _try_lock(file):
                if waiting:
                    waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            self._remove_stale(key)
            yield

    def sweep(self) -> None:
        """Remove what killed processes left: in `tmp`, and checkpoints of stages that are finished."""
        finished = [
            path.name for path in _entries(self.root / "partial") if self._manifest_path(path.name).exists()
        ]
        for key in {path.name.partition(".")[0] for path in _entries(self._tmp)}.union(finished):
            with self._lock_file(key) as file:
                if not _try_lock(file):
                    continue
                self._remove_stale(key)
                if key in finished:
                    shutil.rmtree(self._partial_path(key), ignore_errors=True)

    def remember(self, build: str, stage: str, ingredients: Mapping[str, Any]) -> None:
        """Keep what a stage's key was made of, for `recall`."""
        with self.lock("history"):
            path = self._history_path(build, stage)
            write_atomic(path, canonical(ingredients).encode(), self._temporary("history"))

    def recall(self, build: str, stage: str) -> dict[str, Any] | None:
        """What the stage's key was last made of in this build; None if unknown or unreadable."""
        try:
            found = json.loads(self._history_path(build, stage).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep_failed(self, build: str, stage: str, work: Path) -> Path:
        """Keep a copy of what a failed stage left, with its logs, and say where; until it succeeds."""
        return copy_tree(work, self._failed_path(build, stage))

    def forget_failed(self, build: str, stage: str) -> None:
        """Remove what `keep_failed` kept."""
        shutil.rmtree(self._failed_path(build, stage), ignore_errors=True)

    def _lock_file(self, key: str) -> BinaryIO:
        path = self.root / "locks" / key
        with writing(path):
            return path.open("ab")

    def _put(self, key: str, source: Path) -> StoredFile:
        temporary = self._temporary(key)
        hasher, size = hashlib.sha256(), 0
        # The digest is of the bytes copied, not of a file that its writer could still change.
        with source.open("rb") as read, temporary.open("wb") as write:
            while chunk := read.read(CHUNK):
                hasher.update(chunk)
                size += write.write(chunk)
            sync(write)
        stored = StoredFile(hasher.hexdigest(), size)
        path = self._object_path(stored.sha256)
        if path.is_file() and path.stat().st_size == size and digest_file(path) == stored.sha256:
            temporary.unlink()
            return stored
        temporary.chmod(0o444)
        path.parent.mkdir(parents=True, exist_ok=True)
        move(temporary, path)
        return stored

    def _checked_size(self, manifest: Manifest, name: str, stored: StoredFile) -> Path:
        path = self._object_path(stored.sha256)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise StoreError(_damage(path, manifest, name, "is missing")) from error
        if size != stored.size:
            raise StoreError(_damage(path, manifest, name, f"has {size} bytes instead of {stored.size}"))
        return path

    def _remove_stale(self, key: str) -> None:
        for path in _entries(self._tmp):
            if path.name.partition(".")[0] != key:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _temporary(self, key: str) -> Path:
        return self._tmp / f"{key}.{uuid4().hex}"

    def _object_path(self, digest: str) -> Path:
        return self.root / "objects" / digest[:2] / digest[2:]

    def _manifest_path(self, key: str) -> Path:
        return self.root / "manifests" / f"{key}.json"

    def _partial_path(self, key: str) -> Path:
        return self.root / "partial" / key

    def _failed_path(self, build: str, stage: str) -> Path:
        return self.root / "failed" / build / stage

    def _history_path(self, build: str, stage: str) -> Path:
        return self.root / "history" / build / f"{stage}.json"


def _damage(path: Path, manifest: Manifest, name: str, what: str) -> str:
    return f"{path}: object of '{name}' of stage '{manifest.stage}' {what}; {REPAIR}"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
