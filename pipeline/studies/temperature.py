"""The temperature of distillation: which is best on the validation split (arXiv:1503.02531)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from common.errors import ConfigError
from models.data import Dataset
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build
from pipeline.config.distill import WeightedLoss
from pipeline.config.file import with_values
from pipeline.studies.base import LABELS_ONLY, Finished, Run, Study, distill_of

USUAL = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, kw_only=True)
class Temperature(Study):
    """Distil at each temperature.

    The best is that with the greatest mean on validation, the lower of equals. It was chosen by validation:
    only its score on the test split is free of the choice.

    Attributes:
        temperatures: what to try; empty for `distill.temperatures`, or else 1, 2, 4, 8 and 16.
    """

    kind: ClassVar[str] = "temperature"
    any_task: ClassVar[bool] = True
    units: ClassVar[dict[str, str]] = {"step time": "ms"}

    temperatures: tuple[float, ...] = ()

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """Every temperature with every seed."""
        asked = self.temperatures or distill_of(build).temperatures or USUAL
        for temperature in sorted(set(asked)):
            losses = at_temperature(build, temperature)
            for seed, values in self.seeded(build):
                labels: Labels = {"temperature": float(temperature), "seed": seed}
                yield Run(labels, with_values(build, values | {"distill.losses": losses}))

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Scores on the validation and the test split."""
        yield Result(run.labels, finished.student())
        yield Result(run.labels | {"temperature": LABELS_ONLY}, finished.labels_only())

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """The best."""
        scores: dict[float, list[float]] = {}
        for result in results:
            temperature = result.labels["temperature"]
            if isinstance(temperature, float):
                scores.setdefault(temperature, []).append(result.metrics["validation"])
        best = max(scores, key=lambda each: (np.mean(scores[each]), -each))
        return [f"Best on validation: temperature {best:g}, {np.mean(scores[best]):.2%}."]


def at_temperature(build: Build, temperature: float) -> list[WeightedLoss]:
    """The build's losses at another temperature.

    Raises `ConfigError`: none of them has one, or the temperature is out of range.
    """
    losses = distill_of(build).losses
    if all(each.loss.at_temperature(1.0) == each.loss.at_temperature(2.0) for each in losses):
        raise ConfigError(f"{build.name}: distill.losses: none has a temperature; give one that has")
    return [replace(each, loss=each.loss.at_temperature(temperature)) for each in losses]
