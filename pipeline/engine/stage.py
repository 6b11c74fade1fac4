"""A stage of the pipeline: its declaration, and what it sees while it runs."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from common.terminal import Silent, Step, track
from pipeline.config.build import Build
from pipeline.engine.store import Manifest, Store

T = TypeVar("T")

Facts: TypeAlias = Mapping[str, Any] | None
Names: TypeAlias = tuple[str, ...] | Callable[[Build], tuple[str, ...]]

LOGS = "logs/"


@dataclass(frozen=True)
class StageContext:
    """What a running stage may use.

    Attributes:
        config: the build; a stage reads only what its slice (`Stage.config`) covers.
        work: the empty folder to write the declared outputs in; other files there are scratch.
        partial: the folder for checkpoints: survives kills, removed when the stage is published.
    """

    config: Build
    work: Path
    partial: Path
    store: Store
    inputs: Path
    manifests: Mapping[str, Manifest]
    seeded: bool = True
    step: Step = field(default=Silent().step)

    @property
    def seed(self) -> int:
        """The build's seed; part of the key of a `seeded` stage, and closed to others."""
        if not self.seeded:
            raise RuntimeError("this stage is declared with seeded=False, and may not read the seed")
        return self.config.seed

    def input(self, stage: str, name: str) -> Path:
        """A copy, under its own name, of an upstream stage's file; StoreError if damaged in the store."""
        if stage not in self.manifests:
            raise KeyError(f"stage '{stage}' is no declared input; declared are {', '.join(self.manifests)}")
        path = self.inputs / stage / name
        if not path.exists():
            stored = self.store.path(self.manifests[stage], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, path)
        return path

    def lay_out(self, name: str) -> Path:
        """A folder `name` with all upstream files but logs, as a build's own folder has them."""
        folder = self.work / name
        folder.mkdir()
        for stage, manifest in self.manifests.items():
            for file in manifest.files:
                if not file.startswith(LOGS):
                    shutil.copyfile(self.input(stage, file), folder / file)
        return folder

    def facts(self, stage: str) -> Mapping[str, Any]:
        """The facts that an upstream stage returned."""
        return self.manifests[stage].facts

    def progress(self, label: str, done: int, total: int) -> None:
        """Report how far a loop is; every label has its own line or bar."""
        self.step(label, done, total)

    def track(self, label: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Go over `items`, reporting each."""
        return track(self.step, label, items, total)

    def log(self, name: str) -> Path:
        """The path of a log file to write; kept with the outputs, and also when the stage fails."""
        path = self.work / LOGS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


Run: TypeAlias = Callable[[StageContext], Facts]


@dataclass(frozen=True)
class Stage:
    """One entry of the table of stages.

    Attributes:
        name: as in `retort build --until NAME`, and in errors.
        version: raised whenever the stage's code would give another output for the same input.
        inputs: upstream stages, declared earlier in the table, or a function of the build that gives them.
        config: the JSON-able slice of the build that the outputs depend on.
        tools: names of the tools that it calls, or a function of the build that gives them.
        run: the function, or `"package.module:function"`, imported when it runs. It may return facts:
            small JSON-able values, deterministic, kept in the manifest.
        outputs: files it must leave in `StageContext.work`, or a function of the build that gives them.
        volatile: those outputs that hold times, so that no two builds give the same bytes.
        seeded: whether the stage reads the seed.
        elsewhere: whether a build may end before it where its tools are missing; nothing takes from it.
    """

    name: str
    version: int
    inputs: Names
    config: Callable[[Build], object]
    tools: Names
    run: str | Run
    outputs: Names
    volatile: tuple[str, ...] = ()
    seeded: bool = True
    elsewhere: bool = False

    def inputs_of(self, config: Build) -> tuple[str, ...]:
        """The stages that this build's stage takes from."""
        return self.inputs(config) if callable(self.inputs) else self.inputs

    def tools_of(self, config: Build) -> tuple[str, ...]:
        """The tools that this build's stage calls."""
        return self.tools(config) if callable(self.tools) else self.tools

    def outputs_of(self, config: Build) -> tuple[str, ...]:
        """The files that this build's stage leaves."""
        return self.outputs(config) if callable(self.outputs) else self.outputs

    def function(self) -> Run:
        """The stage's function, imported now."""
        if callable(self.run):
            return self.run
        module, _, name = self.run.partition(":")
        function: Run = getattr(import_module(module), name)
        return function
