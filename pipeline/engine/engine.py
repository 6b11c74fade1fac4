"""Runs the stages of a build whose outputs are not in the store yet, and says why."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from common.errors import ConfigError, DiskError, RetortError, StoreError, ToolError, ToolMissingError
from common.files import disk_error, unmentioned
from common.terminal import Display, Silent
from pipeline.config.build import Build
from pipeline.engine.key import Identify, changes, identities, ingredients
from pipeline.engine.stage import LOGS, Stage, StageContext
from pipeline.engine.store import Manifest, Store, digest_of

__all__ = ["BuildResult", "Identify", "PlannedStage", "Stage", "StageContext", "build", "plan", "select"]

KeepFailed: TypeAlias = Callable[[str, Path], Path]
"""Given a failed stage's name and its work folder, keeps a copy and says where."""


@dataclass(frozen=True)
class PlannedStage:
    """What a build would do about a stage; the key is None while an input is still to be built."""

    stage: str
    key: str | None
    status: Literal["cached", "run"]
    why: str


@dataclass(frozen=True)
class BuildResult:
    """The finished stages of a build, in order; `ran` are those that were not in the store.

    `elsewhere` says what this machine lacks for stages that are left to another.
    """

    config: Build
    stages: tuple[Stage, ...]
    manifests: Mapping[str, Manifest]
    tools: Mapping[str, Mapping[str, str]]
    ran: tuple[str, ...]
    elsewhere: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The key of each stage."""
        return {name: manifest.key for name, manifest in self.manifests.items()}


def select(config: Build, stages: Sequence[Stage], until: str | None = None) -> tuple[Stage, ...]:
    """The build's stages that `until` needs, itself included, in table order; all of them without it."""
    if until is None:
        return tuple(stages)
    by_name = {stage.name: stage for stage in stages}
    if until not in by_name:
        raise ConfigError(f"--until: no stage '{until}'; stages are {', '.join(by_name)}")
    needed, open_names = set[str](), [until]
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += by_name[name].inputs_of(config)
    return tuple(stage for stage in stages if stage.name in needed)


def plan(
    config: Build, stages: Sequence[Stage], store: Store, identify: Identify, until: str | None = None
) -> list[PlannedStage]:
    """What `build` would run, and why; runs nothing."""
    planned: list[PlannedStage] = []
    manifests: dict[str, Manifest] = {}
    for stage in select(config, stages, until):
        try:
            tools = identities(stage, config, identify)
        except ToolMissingError as error:
            planned.append(PlannedStage(stage.name, None, "run", f"a tool is missing: {error}"))
            continue
        pending = [name for name in stage.inputs_of(config) if name not in manifests]
        now = ingredients(stage, config, tools, manifests)
        changed = changes(store.recall(config.name, stage.name), now, pending)
        if pending:
            why = ", ".join([*changed, "after " + ", ".join(pending)])
            planned.append(PlannedStage(stage.name, None, "run", why))
            continue
        key = digest_of(now)
        found, why = _look(store, key)
        if found:
            manifests[stage.name] = found
            planned.append(PlannedStage(stage.name, key, "cached", why))
        else:
            reason = why or ", ".join(changed) or "not finished, or removed from the store"
            planned.append(PlannedStage(stage.name, key, "run", reason))
    return planned


def build(
    config: Build,
    stages: Sequence[Stage],
    store: Store,
    identify: Identify,
    *,
    until: str | None = None,
    progress: Display | None = None,
    repair: bool = False,
    keep_failed: KeepFailed | None = None,
) -> BuildResult:
    """Bring every stage (up to `until`) into the store, running those that are not there.

    A stage that may run `elsewhere` is left out where its tools are missing.

    Raises:
        ToolMissingError: before anything runs, if any other stage lacks a tool.
        StoreError: a stored file is damaged, and `repair` is not set.
        RetortError: a stage failed; the stages before it stay published.
    """
    display = progress or Silent()
    wanted, tools, elsewhere = _equipped(select(config, stages, until), config, identify)
    store.sweep()
    manifests: dict[str, Manifest] = {}
    ran: list[str] = []
    for stage in wanted:
        inputs = {name: manifests[name] for name in stage.inputs_of(config)}
        now = ingredients(stage, config, tools[stage.name], inputs)
        job = _Job(stage, config, store, digest_of(now), inputs, display, keep_failed)
        manifest = _finished(store, job.key, repair)
        if manifest:
            display.note(f"{stage.name}: cached")
        else:
            manifest = job.run(repair)
            ran.append(stage.name)
        manifests[stage.name] = manifest
        if store.recall(config.name, stage.name) != now:
            store.remember(config.name, stage.name, now)
    return BuildResult(config, wanted, manifests, tools, tuple(ran), elsewhere)


def _equipped(
    stages: Sequence[Stage], config: Build, identify: Identify
) -> tuple[tuple[Stage, ...], dict[str, dict[str, str]], str | None]:
    """The stages that this machine can run, the tools of each, and what it lacks for those left out."""
    tools, lacking = {}, []
    for stage in stages:
        try:
            tools[stage.name] = identities(stage, config, identify)
        except ToolMissingError as error:
            if not stage.elsewhere:
                raise
            lacking.append(f"stage '{stage.name}': {error}")
    return tuple(stage for stage in stages if stage.name in tools), tools, "; ".join(lacking) or None


@dataclass(frozen=True)
class _Job:
    """One stage of one build, to be run."""

    stage: Stage
    config: Build
    store: Store
    key: str
    inputs: Mapping[str, Manifest]
    display: Display
    keep_failed: KeepFailed | None

    def run(self, repair: bool) -> Manifest:
        """Run the stage and publish it, unless another process just did."""
        name = self.stage.name
        with self.store.lock(self.key, lambda: self.display.note(f"{name}: waiting for another build of it")):
            manifest = _finished(self.store, self.key, repair)
            if manifest:
                return manifest
            self.display.note(f"{name}: running")
            began = time.monotonic()
            with self.store.work(self.key) as folder:
                manifest = self._run_in(folder / "work", folder / "inputs")
            self.store.forget_failed(self.config.name, name)
            self.display.note(f"{name}: built in {time.monotonic() - began:.1f} s")
            return manifest

    def _run_in(self, work: Path, inputs: Path) -> Manifest:
        work.mkdir()
        stage = self.stage
        context = StageContext(
            config=self.config,
            work=work,
            partial=self.store.partial(self.key),
            store=self.store,
            inputs=inputs,
            manifests=self.inputs,
            seeded=stage.seeded,
            step=lambda label, done, total: self.display.step(f"{stage.name}, {label}", done, total),
        )
        with self._failures_kept(work):
            facts = stage.function()(context)
            files = _outputs(stage, self.config, work)
        return self.store.publish(self.key, stage.name, stage.version, files, facts or {})

    @contextmanager
    def _failures_kept(self, work: Path) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            kept = self._kept(work)
            if isinstance(error, RetortError):
                # Messages name logs in the work folder, which is about to go.
                error.args = tuple(
                    str(each).replace(str(work), str(kept)) if kept else unmentioned(str(each), work)
                    for each in error.args
                )
            full = disk_error(error, work)
            if full:
                raise full from error
            raise

    def _kept(self, work: Path) -> Path | None:
        """Where a copy of what the stage left is; None where it can be kept nowhere."""
        name = self.stage.name
        own = partial(self.store.keep_failed, self.config.name)
        for keep in (self.keep_failed, own) if self.keep_failed else (own,):
            try:
                kept = keep(name, work)
            except DiskError as error:
                self.display.note(f"{name}: failed; what it left is not kept: {error}")
            else:
                self.display.note(f"{name}: failed; what it left is in {kept}")
                return kept
        return None


def _outputs(stage: Stage, config: Build, work: Path) -> dict[str, Path]:
    """The declared outputs and the logs that a stage left."""
    files = {name: work / name for name in stage.outputs_of(config)}
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        raise ToolError(f"stage '{stage.name}' ended without its output {', '.join(missing)}; see its logs")
    logs = sorted(path for path in (work / LOGS).rglob("*") if path.is_file())
    return files | {path.relative_to(work).as_posix(): path for path in logs}


def _finished(store: Store, key: str, repair: bool) -> Manifest | None:
    """The stage's manifest, all its files verified; with `repair`, a damaged one is discarded."""
    try:
        manifest = store.manifest(key)
        if manifest:
            store.check(manifest)
    except StoreError:
        if not repair:
            raise
        store.discard(key)
        return None
    return manifest


def _look(store: Store, key: str) -> tuple[Manifest | None, str]:
    """The stage's manifest if it can be used, and what to say of it."""
    try:
        manifest = store.manifest(key)
        if manifest:
            store.check(manifest, deep=False)
    except StoreError as error:
        return None, f"damaged: {error}"
    return manifest, "in the store" if manifest else ""
