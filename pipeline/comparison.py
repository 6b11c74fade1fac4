"""Distillation against labels alone, over several seeds: what `retort compare` answers."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from models import data
from models.distill import Distillation, HardLabels
from models.distill.student_training import distill
from models.evaluation import deterministic
from models.freeze import freeze
from models.metrics import accuracy, combine
from models.teacher import ensemble_logits, make_transfer_set, train_ensemble
from pipeline.config import BuildConfig
from pipeline.config_data import data_source
from pipeline.errors import ConfigError
from pipeline.progress import Step
from pipeline.stages.training import teacher_config, training_config

CONFIDENCE = 0.95


def compare(config: BuildConfig, seeds: int, step: Step) -> dict[str, Any]:
    """Train the build's student `seeds` times with its losses, and as often with hard labels alone.

    One teacher and one split serve all; student i of both kinds starts from seed + i, with the same initial
    weights, samples and number of steps. Accuracies (0 to 1) are the frozen students' on the test split.
    Intervals are Student's t at 95 %; the difference is paired by seed.

    Raises:
        ConfigError: fewer than two seeds, which have no spread.
    """
    if seeds < 2:
        raise ConfigError(f"--seeds: {seeds} has no spread; give at least 2")
    dataset = data.load_source(data_source(config.data), config.seed)
    settings = teacher_config(config, config.seed)
    with tempfile.TemporaryDirectory(prefix="retort-compare-") as folder:
        ensemble = train_ensemble(settings, dataset, Path(folder), step)
    with deterministic(settings.training.threads):
        examples = make_transfer_set(ensemble.members, dataset, settings.views, settings.mirror)
        reference = combine(ensemble_logits(ensemble.members, dataset.test.x))

    def score(loss: Distillation, seed: int) -> float:
        topology = config.student.topology(dataset.input_shape)
        training = training_config(config, config.student, seed)
        student, _ = distill(topology, dataset, examples, loss, training)
        return accuracy(freeze(student).forward(dataset.test.x), dataset.test.y)

    runs = []
    for index in range(seeds):
        step("students, pairs", index, seeds)
        seed = config.seed + index
        distilled, plain = score(config.distill.recipe().loss, seed), score(HardLabels(), seed)
        runs.append({"seed": seed, "distilled": distilled, "not_distilled": plain})
    step("students, pairs", seeds, seeds)
    columns = {key: np.array([run[key] for run in runs]) for key in ("distilled", "not_distilled")}
    return {
        "teacher_accuracy": accuracy(reference, dataset.test.y),
        "distilled": summarize(columns["distilled"]),
        "not_distilled": summarize(columns["not_distilled"]),
        "difference": summarize(columns["distilled"] - columns["not_distilled"]),
        "runs": runs,
    }


def summarize(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Mean of at least two values, half its 95 % interval by Student's t, least and greatest."""
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return {
        "mean": float(values.mean()),
        "interval": float(half),
        "least": float(values.min()),
        "greatest": float(values.max()),
    }
