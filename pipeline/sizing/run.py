"""Sizing as the stage runs it."""

from pathlib import Path

from models.data import Dataset
from models.distill import Distillation
from models.distill.training.transfer import TransferSet
from models.training import Progress, TrainingConfig
from pipeline.config.build import Build
from pipeline.config.size import SizeConfig
from pipeline.sizing.choice import Sized
from pipeline.sizing.feasible import require_fit
from pipeline.sizing.outcome import sized
from pipeline.sizing.scoring import Scorer, Scores, short
from pipeline.sizing.search import best, search
from pipeline.sizing.space import Space


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

    Raises:
        CapacityError: the student, or every student that the build leaves open, does not fit the board.
        ConfigError: the choices cannot be enumerated, or folds by hand are not as many as the layers.
    """
    space = Space(config, dataset.input_shape)
    if not space.choices:
        return sized(space, {}, require_fit(config.student.topology(dataset.input_shape), config))
    settings = config.size or SizeConfig()
    part = examples.part(settings.train_samples, training.seed)
    brief = short(training, settings.epochs, len(part.split))
    partial.mkdir(parents=True, exist_ok=True)
    scorer = Scorer(dataset, part, loss, brief, Scores(partial / f"scores-{space.digest}.jsonl"))
    scored, how = search(space, settings, scorer, training.seed, progress)
    chosen = best(scored)
    return sized(space, chosen.chosen, chosen.assessment, scored, how)
