"""The stage `size`: candidates that fit are distilled for a short time, and the most accurate is chosen."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.data import Dataset
from models.distill import Distillation
from models.distill.training.setup import TrainingSetup
from models.distill.training.transfer import TransferSet
from models.tasks import CLASSIFICATION, Task
from models.training import Progress, TrainingConfig
from pipeline.config.build import Build, SizeConfig
from pipeline.sizing.assessment import Assessment, require_fit
from pipeline.sizing.result import Sized, sized
from pipeline.sizing.search import Chosen, SearchSpace, best, key_of, search


@dataclass
class Scores:
    """Scores by candidate, kept in a file line by line, so that a run that was killed has those it made."""

    path: Path
    known: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what is there; a line that was cut off is no score."""
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                found = json.loads(line)
                self.known[str(found["candidate"])] = float(found["accuracy"])
            except (ValueError, KeyError, TypeError):
                continue

    def keep(self, candidate: str, accuracy: float) -> None:
        """Add a score, on disk before it is used."""
        self.known[candidate] = accuracy
        line = json.dumps({"candidate": candidate, "accuracy": accuracy})
        with self.path.open("a") as file:
            # The line before may have been cut off.
            file.write(f"\n{line}\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class Scorer:
    """Distils candidates for a short time, all from the same samples, settings and seed."""

    dataset: Dataset
    examples: TransferSet
    loss: Distillation
    training: TrainingConfig
    scores: Scores
    task: Task = CLASSIFICATION

    def __call__(self, chosen: Chosen, assessment: Assessment) -> float:
        """The score (0 to 1) on the validation split, from the file where it is known."""
        key = key_of(chosen)
        if key not in self.scores.known:
            setup = TrainingSetup(
                assessment.topology,
                self.dataset,
                self.examples,
                (),
                self.loss,
                self.training,
                task=self.task,
            )
            _, history = setup.distill(f"candidate {key}")
            self.scores.keep(key, history.validation_score)
        return self.scores.known[key]


def short(training: TrainingConfig, epochs: int, samples: int) -> TrainingConfig:
    """The student's training, `epochs` long, in batches that `samples` fill."""
    return replace(training, epochs=epochs, batch_size=max(2, min(training.batch_size, samples)))


def size(
    config: Build,
    dataset: Dataset,
    examples: TransferSet,
    loss: Distillation,
    training: TrainingConfig,
    partial: Path,
    progress: Progress,
) -> Sized:
    """Choose the student, its folds with it; `training` is that of the whole student.

    With nothing left open, only the budget is checked. Scores are kept in folder `partial`.

    Raises `CapacityError`: the student, or every student that the build leaves open, does not fit the board.
    Raises `ConfigError`: the choices cannot be enumerated, or folds by hand are not as many as the layers.
    """
    space = SearchSpace(config, dataset.input_shape)
    if not space.choices:
        return sized(space, {}, require_fit(config.student.topology(dataset.input_shape), config))
    settings = config.size or SizeConfig()
    part = examples.part(settings.train_samples, training.seed)
    brief = short(training, settings.epochs, len(part.split))
    partial.mkdir(parents=True, exist_ok=True)
    scorer = Scorer(dataset, part, loss, brief, Scores(partial / f"scores-{space.digest}.jsonl"), config.task)
    scored, how = search(space, settings, scorer, training.seed, progress)
    chosen = best(scored)
    return sized(space, chosen.chosen, chosen.assessment, scored, how)
