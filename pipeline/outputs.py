"""A build's own folder: copies of the stages' outputs, their logs, and `build.lock.json`."""

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.engine import BuildResult
from pipeline.errors import StoreError
from pipeline.stage import LOGS, Stage
from pipeline.store import Store, digest_file, digest_of, write_atomic

LOCK = "build.lock.json"
FAILED = "failed"


def export(result: BuildResult, store: Store, folder: Path) -> Path:
    """Copy a build's files into `folder`, where they differ, and write its `build.lock.json` last.

    Files of an earlier export that this build does not have are removed, so that the folder is one build.
    """
    written = {LOCK}
    for stage in result.stages:
        manifest = result.manifests[stage.name]
        for name, stored in manifest.files.items():
            target = folder / _place(stage.name, name)
            written.add(_place(stage.name, name))
            if not (target.is_file() and digest_file(target) == stored.sha256):
                write_atomic(target, store.path(manifest, name).read_bytes())
    for name in _exported(folder) - written:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / FAILED, ignore_errors=True)
    text = json.dumps(lock_of(result), indent=2, sort_keys=True) + "\n"
    if not (folder / LOCK).is_file() or (folder / LOCK).read_text() != text:
        write_atomic(folder / LOCK, text.encode())
    return folder


def keep_failed(work: Path, folder: Path) -> Path:
    """Copy what a failed stage left, with its logs, to `failed/` in the build's folder."""
    kept = folder / FAILED
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(work, kept, symlinks=True)
    return kept


def lock_of(result: BuildResult) -> dict[str, Any]:
    """What a build was made of and gave: no times, no paths of this machine, the same on every rerun."""
    config = result.config.model_dump(mode="json")
    return {
        "build": result.config.name,
        "retort": retort_version(),
        "config": config,
        "config_sha256": digest_of(config),
        "seed": result.config.seed,
        "board": result.config.board.name,
        "stages": {stage.name: _stage_entry(stage, result) for stage in result.stages},
        "volatile": sorted(name for stage in result.stages for name in stage.volatile),
    }


def read_lock(folder: Path) -> dict[str, Any]:
    """The `build.lock.json` of a built folder."""
    path = folder / LOCK
    try:
        lock = json.loads(path.read_bytes())
        if not isinstance(lock, dict) or "stages" not in lock:
            raise ValueError("not a lock of a build")
    except FileNotFoundError as error:
        raise StoreError(f"{path}: not there; give the folder of a finished build") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    return lock


def retort_version() -> str:
    """The installed package's version; of a source tree without installation, `unknown`."""
    try:
        return version("retort")
    except PackageNotFoundError:
        return "unknown"


def _stage_entry(stage: Stage, result: BuildResult) -> dict[str, Any]:
    manifest = result.manifests[stage.name]
    # A volatile input gives a stage another key at every build.
    stable = not any(each.volatile for each in result.stages if each.name in stage.inputs_of(result.config))
    files = {
        name: vars(stored)
        for name, stored in manifest.files.items()
        if not name.startswith(LOGS) and name not in stage.volatile
    }
    return {
        "key": manifest.key if stable else None,
        "version": manifest.version,
        "tools": dict(result.tools[stage.name]),
        "files": files,
        "facts": dict(manifest.facts),
    }


def _place(stage: str, name: str) -> str:
    """Where a stage's file goes in the folder: logs of all stages have a folder each."""
    return f"{LOGS}{stage}/{name.removeprefix(LOGS)}" if name.startswith(LOGS) else name


def _exported(folder: Path) -> set[str]:
    """The files that the folder's present lock speaks of, and the logs."""
    try:
        lock = read_lock(folder)
    except StoreError:
        return set()
    files = {name for stage in lock["stages"].values() for name in stage["files"]}
    logs = {path.relative_to(folder).as_posix() for path in (folder / LOGS).rglob("*") if path.is_file()}
    return files | set(lock["volatile"]) | logs
