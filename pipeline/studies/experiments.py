"""The experiments of arXiv:1503.02531 on a build's own teacher and student: what `retort experiment` answers.

Each student is in the store once it is trained: interrupted, the same command goes on. Student i has the
build's seed + i; accuracies (0 to 1) are those of frozen students, summed up as
`pipeline.studies.comparison.summary.summarize` does.
"""

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError
from common.progress import Display, Step, track
from models.data import Split
from models.distill import HardLabels
from models.distill.recipe import Recipe
from models.distill.sources import TrainingData
from models.distill.training.setup import TrainingSetup
from models.distill.training.transfer import TransferSet
from models.metrics import accuracy, best_offset, combine
from models.students.freeze import freeze
from models.students.integer import IntegerNetwork
from models.teachers.ensemble import ensemble_logits
from models.training import silent
from pipeline.config.build import Build, needed
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine import engine
from pipeline.engine.stage import StageContext
from pipeline.engine.store import Store
from pipeline.stages import stages_of
from pipeline.students.training import training_setup
from pipeline.studies.comparison import TOOLS
from pipeline.studies.comparison.kept import UNKEPT, Training
from pipeline.studies.comparison.summary import summarize

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Those of a search where neither command nor build file names any."""


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """One of them.

    Attributes:
        seeds: students of each kind.
        epochs: of each student; None for the build's.

    Raises:
        ConfigError: fewer than two seeds.
    """

    name: ClassVar[str]

    seeds: int = 3
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ConfigError(f"--seeds: {self.seeds} has no spread; give at least 2")

    @abstractmethod
    def check(self, config: Build) -> None:
        """Check that the build is one for it.

        Raises:
            ConfigError: it is not.
        """

    @abstractmethod
    def run(
        self, made: TrainingSetup, recipe: Recipe, step: Step, train: Training = UNKEPT
    ) -> dict[str, Any]:
        """Train the students by `train`; plain data as for JSON."""

    def prepared(self, made: TrainingSetup) -> TrainingSetup:
        """The setup with this experiment's epochs."""
        return _trained(made, epochs=self.epochs or made.training.epochs)

    def seeded(self, made: TrainingSetup) -> list[TrainingSetup]:
        """The setup of each student."""
        return [_trained(made, seed=made.training.seed + each) for each in range(self.seeds)]


@dataclass(frozen=True, kw_only=True)
class TemperatureSearch(Experiment):
    """Distil at each temperature: which one is best on the validation split.

    Gives for each temperature the accuracies on validation and test split, and `best`, that with the greatest
    mean on validation, the lower of equals. It was chosen by validation, so that only its accuracy on the
    test split is free of the choice.

    Attributes:
        temperatures: what to try.
    """

    name: ClassVar[str] = "temperature"

    temperatures: tuple[float, ...] = TEMPERATURES

    def check(self, config: Build) -> None:
        """Check that the losses have a temperature, and may have these."""
        loss = needed(config.distill, "distill").recipe().loss
        if loss.at_temperature(1.0) == loss.at_temperature(2.0):
            raise ConfigError("distill: none of the losses has a temperature; give one that has")
        for each in self.temperatures:
            loss.at_temperature(each)

    def run(
        self, made: TrainingSetup, recipe: Recipe, step: Step, train: Training = UNKEPT
    ) -> dict[str, Any]:
        """Distil `seeds` students at each temperature."""
        jobs = [(value, each) for value in sorted(set(self.temperatures)) for each in self.seeded(made)]
        found: dict[float, list[tuple[float, float]]] = {}
        for value, each in track(step, "students", jobs):
            loss = recipe.loss.at_temperature(value)
            trained = train(replace(recipe, loss=loss), each)
            scores = trained.validation_score, _accuracy(freeze(trained.student), made.dataset.test)
            found.setdefault(value, []).append(scores)
        curve: list[dict[str, Any]] = []
        for value, scored in found.items():
            validation, test = np.array(scored).T
            row = {"temperature": value, "validation": _summary(validation), "test": _summary(test)}
            curve.append(row)
        best = max(curve, key=lambda row: (row["validation"]["mean"], -row["temperature"]))
        return {"curve": curve, "best": best}


@dataclass(frozen=True, kw_only=True)
class MissingClass(Experiment):
    """Distil without any sample of one class, which the students know by its likeness to others alone.

    They never saw its logit win, and give it too low. One number is added to it: that which gives the most
    right answers on the validation split, whose samples of the class serve for nothing else. (The paper tunes
    it on the test set.) `before` and `after` have the accuracies on the test split, of all samples and of
    those of the class. A core has no such number: this measures, and builds nothing.

    Attributes:
        label: the class.
    """

    name: ClassVar[str] = "missing-class"

    label: int

    def check(self, config: Build) -> None:
        """Check that there is such a class, and that samples of it can be told."""
        recipe, last = (
            needed(config.distill, "distill").recipe(),
            config.student_as(QuantizedStudent).layers[-1],
        )
        classes = max(last.choices("outputs")) if last.kind == "dense" else 0
        if not 0 <= self.label < classes or classes < 3:
            raise ConfigError(
                f"--class: there is no class {self.label} to leave out, the student has {classes}; "
                f"give 0 to {classes - 1}, of three classes or more"
            )
        if not recipe.source.labelled:
            raise ConfigError(
                f"distill.data: samples of '{recipe.source.source}' have no labels, no class of them can be "
                "left out; take another source"
            )

    def run(
        self, made: TrainingSetup, recipe: Recipe, step: Step, train: Training = UNKEPT
    ) -> dict[str, Any]:
        """Distil `seeds` students, and correct each."""
        test, runs = made.dataset.test, []
        for each in track(step, "students", self.seeded(self._without(made))):
            network = freeze(train(recipe, each).student)
            runs.append({"seed": each.training.seed, **self._corrected(network, made)})
        return {
            "class": self.label,
            "test_samples_of_class": int((test.y == self.label).sum()),
            "teacher": self._accuracies(combine(ensemble_logits(made.members, test.x)), test),
            **{when: _summaries([run[when] for run in runs]) for when in ("before", "after")},
            "offset": _summary([run["offset"] for run in runs]),
            "runs": runs,
        }

    def _without(self, made: TrainingSetup) -> TrainingSetup:
        """As if the class were in none of the samples that students are trained and chosen by."""

        def kept(split: Split) -> Split:
            rows = split.y != self.label
            return Split(split.x[rows], split.y[rows])

        dataset, transfer = made.dataset, made.transfer
        logits = np.ascontiguousarray(transfer.logits[:, transfer.split.y != self.label])
        return replace(
            made,
            dataset=replace(dataset, train=kept(dataset.train), validation=kept(dataset.validation)),
            transfer=TransferSet(kept(transfer.split), logits),
        )

    def _corrected(self, network: IntegerNetwork, made: TrainingSetup) -> dict[str, Any]:
        """Accuracies on the test split before and after the offset that the validation split wants."""
        test, validation = made.dataset.test, made.dataset.validation
        before, chosen = (network.forward(split.x) * network.logit_scale for split in (test, validation))
        offset = best_offset(chosen, validation.y, self.label)
        after = before.copy()
        after[:, self.label] += offset
        scores = {"before": self._accuracies(before, test), "after": self._accuracies(after, test)}
        return {"offset": offset, **scores}

    def _accuracies(self, scores: NDArray[np.floating[Any]], split: Split) -> dict[str, float]:
        rows = split.y == self.label
        of_class = accuracy(scores[rows], split.y[rows])
        return {"accuracy": accuracy(scores, split.y), "class_accuracy": of_class}


@dataclass(frozen=True, kw_only=True)
class SoftTargets(Experiment):
    """Train on a small share of the training split by its labels alone, and by the build's losses.

    Each seed draws its own share of every class, the same for both kinds, as are weights, samples and steps,
    as many steps as the build's student takes where `epochs` are None. Both keep the epoch that was best on
    validation, which is the paper's early stopping. `train` is on the share itself, with its views.

    Attributes:
        share: of the training split, above 0 to 1.
    """

    name: ClassVar[str] = "soft-targets"

    share: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        TrainingData(self.share)

    def check(self, config: Build) -> None:
        """Check that the losses look at a teacher."""
        if needed(config.distill, "distill").recipe().loss.needs <= {"labels"}:
            raise ConfigError("distill: the losses are of labels alone; give one that learns from a teacher")

    def prepared(self, made: TrainingSetup) -> TrainingSetup:
        """The setup with epochs for as many steps on the share as the build has on all samples."""
        if self.epochs:
            return super().prepared(made)
        batch, count = made.training.batch_size, len(made.transfer.split)
        whole, part = (max(1, int(share * count) // batch) for share in (1.0, self.share))
        return _trained(made, epochs=math.ceil(made.training.epochs * whole / part))

    def run(
        self, made: TrainingSetup, recipe: Recipe, step: Step, train: Training = UNKEPT
    ) -> dict[str, Any]:
        """Train `seeds` pairs of students, in one step each, whatever the build's source and schedule."""
        source, test = TrainingData(self.share), made.dataset.test
        ways = {"hard": Recipe(HardLabels(), source), "soft": Recipe(recipe.loss, source)}
        runs: list[dict[str, Any]] = []
        for each in track(step, "pairs of students", self.seeded(made)):
            samples = source.transfer(each).split
            runs.append({"seed": each.training.seed, "samples": len(samples)})
            for name, way in ways.items():
                network = freeze(train(way, each).student)
                runs[-1][name] = {"train": _accuracy(network, samples), "test": _accuracy(network, test)}
        differences = [{key: run["soft"][key] - run["hard"][key] for key in run["soft"]} for run in runs]
        return {
            "share": self.share,
            "samples": runs[0]["samples"],
            "teacher_accuracy": accuracy(combine(ensemble_logits(made.members, test.x)), test.y),
            **{name: _summaries([run[name] for run in runs]) for name in ways},
            "difference": _summaries(differences),
            "runs": runs,
        }


def perform(
    experiment: Experiment, config: Build, store: Store, identify: engine.Identify, display: Display
) -> dict[str, Any]:
    """Bring the teacher, and the student's sizes if they are open, into the store; run the experiment.

    Raises:
        ConfigError: the build is not one for it.
        RetortError: see `pipeline.engine.engine.build`.
    """
    experiment.check(config)
    until = "size" if config.student.choices else "teacher"
    built = engine.build(config, stages_of(config), store, identify, until=until, progress=display)
    with tempfile.TemporaryDirectory(prefix="retort-experiment-") as name:
        work = Path(name)
        made = training_setup(StageContext(config, work, work, store, work / "inputs", built.manifests))(None)
        made = experiment.prepared(replace(made, progress=silent))
    train = Training(store, {name: identify(name) for name in TOOLS})
    return {
        "experiment": experiment.name,
        "build": config.name,
        "seeds": [each.training.seed for each in experiment.seeded(made)],
        "epochs": made.training.epochs,
        **experiment.run(made, needed(config.distill, "distill").recipe(), display.step, train),
    }


def _trained(made: TrainingSetup, **settings: int) -> TrainingSetup:
    """The setup with other settings of its training."""
    return replace(made, training=replace(made.training, **settings))  # type: ignore[arg-type]


def _accuracy(network: IntegerNetwork, split: Split) -> float:
    return accuracy(network.forward(split.x), split.y)


def _summary(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    return asdict(summarize(np.asarray(values)))


def _summaries(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Summarize each column."""
    return {key: _summary([row[key] for row in rows]) for key in rows[0]}
