"""Locks of folders that no build made, or that a test has changed."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.file import parse
from pipeline.engine.lock import LOCK, VOLATILE, FileEntry, read_lock, write_volatile
from pipeline.engine.outputs import FAILED
from pipeline.engine.stage import LOGS
from pipeline.engine.store import digest_file, digest_of
from tests.conftest import TINY


def entry(path: Path) -> FileEntry:
    return FileEntry(sha256=digest_file(path), size=path.stat().st_size)


def write_lock(
    folder: Path, *, stage: str = "bitstream", volatile: tuple[str, ...] = (), **board: str
) -> dict[str, Any]:
    """Locks of the tiny build, on `board` where given: all files in `folder` are of one stage."""
    raw = tomllib.loads(TINY.format(name="tiny"))
    config = parse(raw | {"board": raw["board"] | board}, "tiny.toml").model_dump(mode="json")
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    names = [name for name in names if not name.startswith((LOGS, FAILED, LOCK, VOLATILE))]
    files = {name: entry(folder / name).model_dump() for name in names if name not in volatile}
    made = {"key": "0" * 64, "version": 1, "tools": {}, "files": files, "facts": {}}
    lock = {
        "build": "tiny",
        "retort": "0",
        "config": config,
        "config_sha256": digest_of(config),
        "seed": config["seed"],
        "board": config["board"]["name"],
        "stages": {stage: made},
        "volatile": [*volatile],
    }
    (folder / LOCK).write_text(json.dumps(lock))
    write_volatile(folder, {name: entry(folder / name) for name in volatile})
    return lock


def lock_again(folder: Path) -> None:
    """Have the locks of a built folder say what its files hold now, as a build that made them would."""
    lock = json.loads((folder / LOCK).read_bytes())
    for stage in lock["stages"].values():
        stage["files"] = {name: entry(folder / name).model_dump() for name in stage["files"]}
    (folder / LOCK).write_text(json.dumps(lock))
    write_volatile(folder, {name: entry(folder / name) for name in read_lock(folder).volatile})


def relocked(folder: Path, **changes: Any) -> Mapping[str, Any]:
    """Write the lock with other top-level values, whatever they are."""
    lock = json.loads((folder / LOCK).read_bytes()) | changes
    (folder / LOCK).write_text(json.dumps(lock))
    return lock
