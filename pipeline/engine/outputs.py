"""A build's own folder: copies of the stages' outputs, their logs, and `build.lock.json`."""

import json
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common.errors import StoreError
from common.files import copy_tree, write_atomic, writing
from common.terminal import Display
from pipeline.config.build import Build
from pipeline.engine.engine import BuildResult, Identify, build
from pipeline.engine.lock import LOCK, VOLATILE, FileEntry, confined, read_lock, read_volatile, write_volatile
from pipeline.engine.stage import LOGS, Stage
from pipeline.engine.store import Store, digest_file, digest_of

FAILED = "failed"


def build_folder(
    config: Build,
    stages: Sequence[Stage],
    store: Store,
    identify: Identify,
    folder: Path,
    *,
    until: str | None = None,
    progress: Display | None = None,
    repair: bool = False,
) -> BuildResult:
    """Run the stages that are not in the store, and write the folder; raises as `build` and `export`.

    What a failed stage leaves is in `failed/` there.
    """
    result = build(
        config,
        stages,
        store,
        identify,
        until=until,
        progress=progress,
        repair=repair,
        keep_failed=lambda stage, work: copy_tree(work, folder / FAILED),
    )
    export(result, store, folder)
    return result


def export(result: BuildResult, store: Store, folder: Path) -> Path:
    """Copy a build's files into `folder`, where they differ, and write its locks last.

    Files of an earlier export that this build does not have are removed, so that the folder is one build.

    Raises `StoreError`: a stored file is damaged, or a link in the folder leads out of it. Raises
    `DiskError`: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        written, volatile = {LOCK, VOLATILE}, {}
        for stage in result.stages:
            manifest = result.manifests[stage.name]
            for name, stored in manifest.files.items():
                place = _place(stage.name, name)
                target = confined(folder, place)
                written.add(place)
                if name in stage.volatile:
                    volatile[name] = FileEntry(sha256=stored.sha256, size=stored.size)
                same = target.is_file() and not target.is_symlink() and digest_file(target) == stored.sha256
                if not same:
                    write_atomic(target, store.path(manifest, name).read_bytes())
        for name in {*_exported(folder)} - written:
            confined(folder, name).unlink(missing_ok=True)
        shutil.rmtree(folder / FAILED, ignore_errors=True)
        text = json.dumps(lock_of(result), indent=2, sort_keys=True) + "\n"
        if not (folder / LOCK).is_file() or (folder / LOCK).read_bytes() != text.encode():
            write_atomic(folder / LOCK, text.encode())
        write_volatile(folder, volatile)
    return folder


def keep_failed(work: Path, folder: Path) -> Path:
    """Copy what a failed stage left, logs too, to `failed/` in the build's folder; raises `DiskError`."""
    return copy_tree(work, folder / FAILED)


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


def _exported(folder: Path) -> Iterator[str]:
    """The files that the folder's present locks speak of, as far as they can be read, and the logs."""
    try:
        lock, volatile = read_lock(folder), read_volatile(folder)
    except StoreError:
        return
    yield from lock.files
    yield from lock.volatile
    yield from volatile.files if volatile else ()
    logs = confined(folder, f"{LOGS}all").parent
    yield from (path.relative_to(folder).as_posix() for path in logs.rglob("*") if path.is_file())
