"""Soft targets as a regularizer: training on a small share of the data (arXiv:1503.02531)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from common.errors import ConfigError
from models.data import Dataset
from models.distill.schedules import OneStep
from models.distill.sources import TrainingData
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build, needed
from pipeline.config.file import with_values
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.studies.base import Finished, Run, Study, distill_of, student_of

HARD, SOFT = "hard", "soft"


@dataclass(frozen=True, kw_only=True)
class SoftTargets(Study):
    """Train on a small share of the training split by its labels alone, and by the build's losses.

    Each seed draws its own share of every class, the same for both. Both take as many steps as the build's
    student where `epochs` is None, and keep the epoch that was best on validation, which is the paper's early
    stopping. `train` is the score on the share itself.

    Attributes:
        share: of the training split, above 0 to 1.
    """

    kind: ClassVar[str] = "soft-targets"
    any_task: ClassVar[bool] = True
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(
            name="soft-targets",
            version=1,
            inputs=("data", "teacher", "baseline", "distill", "export"),
            config=lambda build: [distill_of(build).model_dump(mode="json"), student_of(build).seed],
            tools=(),
            run="pipeline.studies.soft_targets:measure",
            outputs=(),
        ),
    )

    share: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        TrainingData(self.share)

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """One run a seed, in one step each, whatever the build's source and schedule."""
        if distill_of(build).recipe().loss.needs <= {"labels"}:
            raise ConfigError(
                f"{build.name}: distill.losses: all are of labels alone; give one that learns from a teacher"
            )
        values = {
            "student.epochs": self.steps(build, dataset),
            "distill.data": {"source": TrainingData.source, "share": self.share},
            "distill.schedule": {"kind": OneStep.kind},
        }
        for seed, seeded in self.seeded(build):
            yield Run({"seed": seed}, with_values(build, values | seeded), self.kind)

    def steps(self, build: Build, dataset: Dataset) -> int:
        """Epochs for as many steps on the share as the build's student takes on all samples."""
        count = len(dataset.train) * needed(build.teacher, "teacher").views
        student = student_of(build)
        whole, part = (max(1, int(share * count) // student.batch_size) for share in (1.0, self.share))
        return math.ceil(student.epochs * whole / part)

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Scores on the test split and on the share."""
        facts = finished.manifests[self.kind].facts
        for targets, found in ((HARD, finished.labels_only()), (SOFT, finished.student())):
            metrics = {"score": found["score"], "train": facts[targets]}
            yield Result({"targets": targets, **run.labels}, metrics)

    def reference(self, labels: Labels) -> Labels:
        """Students on hard targets."""
        return {"targets": HARD}

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """How much was learned from."""
        epochs = self.epochs or self.steps(build, dataset)
        return [f"{self.share:.1%} of {len(dataset.train)} training samples, {epochs} epochs."]


def measure(ctx: StageContext) -> Facts:
    """Stage `soft-targets`: the students' scores on the share of the data that they learned from."""
    from models.distill.training.student_training import load_student
    from models.students.freeze import freeze
    from pipeline.students.training import training_setup

    made = distill_of(ctx.config).recipe().prepared(training_setup(ctx)(None))
    seen, scores = made.transfer.split, {}
    for targets, stage, name in ((HARD, "baseline", "baseline"), (SOFT, "distill", "student")):
        network = freeze(load_student(made.topology, ctx.input(stage, f"{name}.safetensors")))
        scores[targets] = made.task.score(network.forward(seen.x) * network.logit_scale, seen)
    return scores
