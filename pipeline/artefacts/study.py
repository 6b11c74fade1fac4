"""What a study gives: `study.json`."""

from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from common.jsonfile import JsonFile

Labels: TypeAlias = dict[str, str | int | float]
"""What tells a run from the others, such as `method` and `seed`."""


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        labels: of the run; with a `seed` where there are several.
        metrics: by name.
    """

    labels: Labels
    metrics: dict[str, float]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        interval: half the 95 % interval by Student's t; null for one value.
        least: the least value.
        greatest: the greatest value.
    """

    mean: float
    interval: float | None
    least: float
    greatest: float


@dataclass(frozen=True)
class Summary:
    """The results of all seeds with the same labels.

    Attributes:
        labels: without the seed.
        count: how many there are.
        metrics: by name.
        differences: to the reference, paired by seed; empty without one.
        verdict: of the first metric: `better` or `worse` where the difference's interval excludes 0, else
            `open`; `reference` for the reference, and empty without one.
    """

    labels: Labels
    count: int
    metrics: dict[str, Interval]
    differences: dict[str, Interval]
    verdict: str


@dataclass(frozen=True)
class RunKeys:
    """A run.

    Attributes:
        labels: what tells it from the others.
        stages: the store's keys of its stages, by name.
    """

    labels: Labels
    stages: dict[str, str]


@dataclass(frozen=True)
class StudyResult:
    """A finished study.

    Attributes:
        build: its name.
        study: the keys of `[study]`.
        metric: what `score` is, for example "accuracy".
        units: of metrics that are no shares of 1.
        teacher: its score, 0 to 1.
        tools: versions of what trained.
        notes: what else there is to say, in sentences.
        runs: the store's keys of each.
        results: of each seed.
        summaries: of all seeds.
    """

    build: str
    study: dict[str, JsonValue]
    metric: str
    units: dict[str, str]
    teacher: float | None
    tools: dict[str, str]
    notes: tuple[str, ...]
    runs: tuple[RunKeys, ...]
    results: tuple[Result, ...]
    summaries: tuple[Summary, ...]


STUDY = JsonFile("study.json", StudyResult, ())
