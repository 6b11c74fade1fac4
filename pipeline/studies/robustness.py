"""How a build's student stands perturbed inputs: what `retort robustness` answers."""

from typing import Any

import numpy as np

from common.progress import Step
from models import data
from models.distill.training.student_training import load_student
from models.robustness import Perturbations, accuracies
from models.training.evaluation import deterministic
from pipeline.config.build import Build, needed
from pipeline.engine.engine import BuildResult
from pipeline.engine.store import Store
from pipeline.sizing.result import load_sized

STUDENTS = {"student": "distill", "baseline": "baseline"}
"""The student, its twin without distillation, and the stages that train them."""


def robustness(
    config: Build,
    result: BuildResult,
    store: Store,
    wanted: Perturbations,
    samples: int,
    step: Step,
) -> dict[str, Any]:
    """Measure student and undistilled twin of a build that came up to stage `distill`.

    On no more than `samples` of its test split, at even distances. Kinds of perturbation without sizes get
    some by the greatest input of the training split. Gives `samples`, their number, `greatest_input`, and
    `rows`, see `models.robustness.accuracies`.

    Raises:
        StoreError: a stored file is damaged.
    """
    made = result.manifests
    dataset = data.load(store.path(made["data"], "data.safetensors"))
    if config.student.choices:
        sized = load_sized(store.path(made["size"], "sized.json"))
        topology = sized.topology(config, dataset.input_shape)
    else:
        topology = config.student.topology(dataset.input_shape)
    students = {
        name: load_student(topology, store.path(made[stage], f"{name}.safetensors"))
        for name, stage in STUDENTS.items()
    }
    test, greatest = _some(dataset.test, samples), int(dataset.train.x.max())
    with deterministic(needed(config.training, "training").threads):
        rows = accuracies(
            students,
            test,
            wanted.completed(greatest),
            lambda done, total: step("perturbations", done, total),
        )
    return {"samples": len(test), "greatest_input": greatest, "rows": rows}


def _some(split: data.Split, samples: int) -> data.Split:
    rows = np.linspace(0, len(split) - 1, min(samples, len(split))).round().astype(np.int64)
    return data.Split(split.x[rows], split.y[rows])
