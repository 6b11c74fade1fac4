"""A candidate's score: its accuracy on the validation split after a short distillation."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.data import Dataset
from models.distill import Distillation
from models.distill.training.setup import TrainingSetup
from models.distill.training.transfer import TransferSet
from models.training import TrainingConfig
from pipeline.sizing.assessment import Assessment
from pipeline.sizing.space import Chosen, key_of


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

    def __call__(self, chosen: Chosen, assessment: Assessment) -> float:
        """The accuracy (0 to 1) on the validation split, from the file where it is known."""
        key = key_of(chosen)
        if key not in self.scores.known:
            setup = TrainingSetup(
                assessment.topology, self.dataset, self.examples, (), self.loss, self.training
            )
            _, history = setup.distill(f"candidate {key}")
            self.scores.keep(key, history.validation_score)
        return self.scores.known[key]


def short(training: TrainingConfig, epochs: int, samples: int) -> TrainingConfig:
    """The student's training, `epochs` long, in batches that `samples` fill."""
    return replace(training, epochs=epochs, batch_size=max(2, min(training.batch_size, samples)))
