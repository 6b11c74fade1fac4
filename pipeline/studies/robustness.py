"""How the student stands perturbed inputs, distilled and not: noise, FGSM and PGD."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from common.errors import ConfigError
from models.data import Dataset, Split
from models.robustness import Perturbations
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build, needed
from pipeline.config.file import with_values
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.studies.base import LABELS_ONLY, Finished, Run, Study, study_of


@dataclass(frozen=True, kw_only=True)
class Robustness(Study):
    """Perturb the test samples, and measure the student and its twin without distillation.

    Kinds of perturbation without sizes get a 32nd, a 16th and an eighth of the data's greatest input. An
    input step is 1 of 0 to 255.

    Attributes:
        noise: standard deviations of Gaussian noise, in input steps.
        fgsm: greatest changes of an input by the fast gradient sign method, in input steps.
        pgd: likewise by projected gradient descent.
        pgd_steps: gradient steps of each such descent.
        samples: no more of the test split than these, at even distances.

    Raises `ConfigError`: a size that is not above 0 or is above 255, or no gradient steps or samples.
    """

    kind: ClassVar[str] = "robustness"
    least_seeds: ClassVar[int] = 1
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(
            name="robustness",
            version=1,
            inputs=("data", "baseline", "distill"),
            config=lambda build: [
                repr(replace(study_of(build), seeds=1, epochs=None)),
                build.student.model_dump(mode="json", include={"layers"}),
            ],
            tools=("torch", "brevitas"),
            run="pipeline.studies.robustness:measure",
            outputs=(),
        ),
    )

    seeds: int = 1
    noise: tuple[float, ...] = ()
    fgsm: tuple[int, ...] = ()
    pgd: tuple[int, ...] = ()
    pgd_steps: int = 10
    samples: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.perturbations(0)
        if self.samples < 1:
            raise ConfigError(f"{self.kind}: samples is {self.samples}; give at least 1")

    def perturbations(self, seed: int) -> Perturbations:
        """What is measured."""
        return Perturbations(self.noise, self.fgsm, self.pgd, self.pgd_steps, seed)

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """One run a seed."""
        for seed, values in self.seeded(build):
            yield Run({"seed": seed}, with_values(build, values), self.kind)

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """The accuracy under every perturbation."""
        for row in finished.manifests[self.kind].facts["rows"]:
            labels = {"perturbation": row["perturbation"], "size": row["size"]}
            for name in (LABELS_ONLY, "distilled"):
                yield Result({**labels, "student": name, **run.labels}, {"accuracy": row[name]})

    def reference(self, labels: Labels) -> Labels:
        """The student without distillation under the same perturbation."""
        return {**labels, "student": LABELS_ONLY}

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """What sizes are measured in."""
        count, greatest = min(self.samples, len(dataset.test)), int(dataset.train.x.max())
        return [f"On {count} test samples; sizes are in input steps, inputs go up to {greatest}."]


def measure(ctx: StageContext) -> Facts:
    """Stage `robustness`: the accuracies of both students, each attacked by its own gradients."""
    from models import data
    from models.distill.training.student_training import load_student
    from models.robustness import accuracies
    from models.training.evaluation import deterministic
    from pipeline.students.training import chosen_topology

    study: Any = ctx.config.study
    dataset = data.load(ctx.input("data", "data.safetensors"))
    topology = chosen_topology(ctx, dataset.input_shape)
    students = {
        LABELS_ONLY: load_student(topology, ctx.input("baseline", "baseline.safetensors")),
        "distilled": load_student(topology, ctx.input("distill", "student.safetensors")),
    }
    places = np.linspace(0, len(dataset.test) - 1, min(study.samples, len(dataset.test)))
    rows = places.round().astype(np.int64)
    test = Split(dataset.test.x[rows], dataset.test.y[rows])
    wanted = study.perturbations(ctx.seed).completed(int(dataset.train.x.max()))

    def progress(done: int, total: int) -> None:
        ctx.progress("perturbations", done, total)

    with deterministic(needed(ctx.config.training, "training").threads):
        return {"rows": accuracies(students, test, wanted, progress)}
