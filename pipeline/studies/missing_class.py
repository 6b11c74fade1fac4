"""Distillation without any sample of one class (arXiv:1503.02531)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from common.errors import ConfigError
from models.data import Dataset
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build
from pipeline.config.file import with_values
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.studies.base import Finished, Run, Study, distill_of

TRAINED, CORRECTED = "as trained", "corrected"


@dataclass(frozen=True, kw_only=True)
class MissingClass(Study):
    """Distil without any sample of one class, which the students know by its likeness to others alone.

    They give its logit too low a value. One number is added to it: that which gives the most right answers on
    the validation split. (The paper tunes it on the test set.) A core has no such number: this measures only.

    Attributes:
        label: the class.
    """

    kind: ClassVar[str] = "missing-class"
    units: ClassVar[dict[str, str]] = {"offset": ""}
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(
            name="missing-class",
            version=1,
            inputs=("data", "teacher", "export"),
            config=lambda build: list(distill_of(build).leave_out),
            tools=(),
            run="pipeline.studies.missing_class:measure",
            outputs=(),
            seeded=False,
        ),
    )

    label: int

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """One run a seed."""
        if not 0 <= self.label < dataset.classes or dataset.classes < 3:
            raise ConfigError(
                f"{build.name}: study.label: no class {self.label} to leave out of {dataset.classes}; "
                f"give 0 to {dataset.classes - 1}, of three classes or more"
            )
        source = distill_of(build).recipe().source
        if not source.labelled:
            raise ConfigError(
                f"{build.name}: distill.data: samples of '{source.source}' have no labels, no class of them "
                "can be left out; take another source"
            )
        for seed, values in self.seeded(build):
            changed = with_values(build, values | {"distill.leave_out": [self.label]})
            yield Run({"seed": seed}, changed, self.kind)

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Accuracies on the test split, of all samples and of those of the class."""
        for name, metrics in finished.manifests[self.kind].facts["measured"].items():
            seed = {} if name == "teacher" else run.labels
            yield Result({"student": name, **seed}, metrics)

    def reference(self, labels: Labels) -> Labels | None:
        """Students as they were trained."""
        return None if labels["student"] == "teacher" else {"student": TRAINED}

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """What the accuracies are of."""
        count = int((dataset.test.y == self.label).sum())
        return [f"No student saw class {self.label}; the test split has {count} samples of it."]


def measure(ctx: StageContext) -> Facts:
    """Stage `missing-class`: correct the logit of the class that the student never saw."""
    from models import data
    from models.metrics import accuracy, best_offset
    from models.students import integer
    from pipeline.artefacts.metrics import load_teacher_logits

    dataset = data.load(ctx.input("data", "data.safetensors"))
    network = integer.load(ctx.input("export", "frozen.safetensors"))
    (label,) = distill_of(ctx.config).leave_out
    test, validation = dataset.test, dataset.validation
    rows = test.y == label

    def scores(logits: Any) -> dict[str, float]:
        return {"accuracy": accuracy(logits, test.y), "of the class": accuracy(logits[rows], test.y[rows])}

    logits = network.forward(test.x) * network.logit_scale
    offset = best_offset(network.forward(validation.x) * network.logit_scale, validation.y, label)
    corrected = logits.copy()
    corrected[:, label] += offset
    task, path = ctx.config.task, ctx.input("teacher", "teacher_logits.safetensors")
    teacher = task.combine(load_teacher_logits(path, dataset, task))
    measured: Mapping[str, Mapping[str, float]] = {
        TRAINED: scores(logits),
        CORRECTED: scores(corrected) | {"offset": offset},
        "teacher": scores(teacher),
    }
    return {"measured": measured}
