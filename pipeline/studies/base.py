"""What a study is: it enumerates runs, builds with some values changed, and says what to measure of each."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from common.errors import ConfigError
from models.data import Dataset
from pipeline.artefacts.metrics import METRICS, Metrics
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build, needed
from pipeline.config.distill import DistillConfig
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.stage import Stage
from pipeline.engine.store import Manifest, Store

LABELS_ONLY = "labels only"
"""The student without distillation, in tables."""


@dataclass(frozen=True)
class Run:
    """A derived build, and the last stage that it runs."""

    labels: Labels
    build: Build
    until: str = "export"


@dataclass(frozen=True)
class Finished:
    """The stages of a finished run, by name."""

    store: Store
    manifests: Mapping[str, Manifest]

    @property
    def metrics(self) -> Metrics:
        """What stage `export` measured; raises `StoreError` where it is damaged."""
        return METRICS.read(self.store.path(self.manifests["export"], METRICS.name))

    def student(self) -> dict[str, float]:
        """Of the distilled student: scores on test and validation, agreement, time of a step."""
        metrics = self.metrics
        found = {"score": metrics.student, "agreement": metrics.agreement}
        return {name: value for name, value in found.items() if value is not None} | self._training(
            "distill", "student"
        )

    def labels_only(self) -> dict[str, float]:
        """The same of the student without distillation, but for the agreement."""
        score = self.metrics.student_without_distillation
        return ({} if score is None else {"score": score}) | self._training("baseline", "validation_score")

    def _training(self, stage: str, score: str) -> dict[str, float]:
        facts = self.manifests[stage].facts
        log = self.store.path(self.manifests[stage], "logs/time.json")
        milliseconds = 1000 * json.loads(log.read_text())["seconds_per_step"]
        return {"validation": facts[score], "step time": milliseconds}


@dataclass(frozen=True, kw_only=True)
class Study(ABC):
    """A study: a frozen dataclass whose fields are the keys of `[study]`.

    Attributes:
        seeds: students of each kind; the first has the build's seed.
        epochs: of each student; the build's where it is None.

    Raises `ConfigError`: no seeds, or no epochs.
    """

    kind: ClassVar[str]
    """Its name in the build file."""
    any_task: ClassVar[bool] = False
    """Whether it serves tasks other than classification."""
    ranked: ClassVar[bool] = False
    """Whether tables go from the best to the worst."""
    least_seeds: ClassVar[int] = 2
    units: ClassVar[dict[str, str]] = {}
    """Of the metrics that are no shares of 1."""
    stages: ClassVar[tuple[Stage, ...]] = ()
    """Stages that measure, behind those of a build."""

    seeds: int = 3
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < self.least_seeds:
            raise ConfigError(
                f"{self.kind}: seeds is {self.seeds}; give at least {self.least_seeds}, one has no spread"
            )
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"{self.kind}: epochs is {self.epochs}; give at least 1")

    @abstractmethod
    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """Enumerate the runs of a build, whose sizes are chosen, on its data.

        Raises `ConfigError`: the build is not one for this study.
        """

    @abstractmethod
    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Tell what a finished run gave; several runs may give the same result."""

    def reference(self, labels: Labels) -> Labels | None:
        """The labels, without `seed`, of what these are compared with; None for nothing."""
        return None

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """What else there is to say, in sentences."""
        return []

    def seeded(self, build: Build) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each student's seed, and the values that every run of it has."""
        for seed in range(build.seed, build.seed + self.seeds):
            values: dict[str, Any] = {"student.seed": seed, "distill.temperatures": []}
            yield seed, values | ({"student.epochs": self.epochs} if self.epochs else {})


def distill_of(build: Build) -> DistillConfig:
    """Its `[distill]`."""
    return needed(build.distill, "distill")


def student_of(build: Build) -> QuantizedStudent:
    """Its `[student]`."""
    return build.student_as(QuantizedStudent)


def study_of(build: Build) -> Study:
    """Its `[study]`; raises `ConfigError` where there is none, or none that suits the build."""
    study = needed(build.study, "study")
    assert isinstance(study, Study)
    if build.student.kind != "quantized":
        raise ConfigError(
            f"{build.name}: study.kind: '{study.kind}' trains students of kind 'quantized', not "
            f"'{build.student.kind}'; remove [study]"
        )
    if build.task.kind != "classification" and not study.any_task:
        raise ConfigError(
            f"{build.name}: study.kind: '{study.kind}' is for classification, not for {build.task.kind}; "
            "give another, such as 'compare'"
        )
    return study
