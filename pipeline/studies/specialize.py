"""Ensembles of students that specialize, on questions about scenes; their members go to the board.

Learning to specialize with knowledge distillation (Mun et al. 2018, NeurIPS): all ensembles of a seed start
from the same base models and take as many steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError
from models.data import Dataset, load
from models.data.scenes import TEMPLATES, templates_of
from models.metrics import accuracy, combine
from models.teachers.specialists import Specialists
from pipeline.artefacts.metrics import load_teacher_logits
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build
from pipeline.config.file import with_values
from pipeline.studies.base import Finished, Run, Study

INDEPENDENT = "independent"
METHODS = ("base", INDEPENDENT, "mcl", "cmcl", "mcl-kd")


@dataclass(frozen=True, kw_only=True)
class Specialize(Study):
    """Train ensembles by each method, and bring the members of the build's own to the board.

    `top1` is the score of an ensemble's mean probabilities, `oracle` the share of samples that at least one
    member has right, `member` the mean of its members.

    Attributes:
        methods: of `[teacher]`, of kind `specialists`.
        to_board: whether each member of the build's ensemble climbs the whole ladder, in a folder of its own.

    Raises `ConfigError`: an unknown method, or none.
    """

    kind: ClassVar[str] = "specialize"
    units: ClassVar[dict[str, str]] = {"interval": "cycles"}

    methods: tuple[str, ...] = METHODS
    to_board: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.methods or not set(self.methods) <= set(METHODS):
            raise ConfigError(f"{self.kind}: methods is {list(self.methods)}; give of {', '.join(METHODS)}")

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """Every ensemble with every seed, then the members of the build's own."""
        teacher = build.teacher
        if not isinstance(teacher, Specialists):
            raise ConfigError(f"{build.name}: study.kind: '{self.kind}' wants [teacher] kind 'specialists'")
        epochs = {"teacher.epochs": self.epochs} if self.epochs else {}
        first = build.seed if teacher.seed is None else teacher.seed
        for seed in range(first, first + self.seeds * teacher.members, teacher.members):
            for method in dict.fromkeys((INDEPENDENT, *self.methods)):
                values = {"teacher.method": method, "teacher.seed": seed, **epochs}
                yield Run({"ensemble": method, "seed": seed}, with_values(build, values), "teacher")
        for member in range(teacher.members if self.to_board else 0):
            values = {
                "teacher.seed": first,
                "distill.schedule": {"kind": "specialist", "member": member},
                "name": f"{build.name}-{member}",
                **epochs,
            }
            labels: Labels = {"ensemble": teacher.method, "member": member}
            yield Run(labels, with_values(build, values), "report")

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Scores on the test split; of a member also the interval between its frames."""
        if "member" in run.labels:
            interval = finished.manifests["compile"].facts["interval_bound_cycles"]
            score = finished.metrics.student
            yield Result(run.labels, {"member score": score or 0.0, "interval": float(interval)})
            return
        data = load(finished.store.path(finished.manifests["data"], "data.safetensors"))
        path = finished.store.path(finished.manifests["teacher"], "teacher_logits.safetensors")
        logits = load_teacher_logits(path, data, run.build.task)
        right = logits.argmax(axis=2) == data.test.y
        measured = {
            "top1": accuracy(combine(logits), data.test.y),
            "oracle": float(right.any(axis=0).mean()),
            "member": float(right.mean()),
        }
        yield Result(run.labels, measured)

    def reference(self, labels: Labels) -> Labels | None:
        """Independent ensembles of the same seed."""
        return None if "member" in labels else {"ensemble": INDEPENDENT}

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """What answering without a look at the image would come to."""
        asked, right = templates_of(dataset.test), dataset.test.y
        alone = _commonest(right) / len(right)
        known = sum(_commonest(right[asked == place]) for place in range(len(TEMPLATES))) / len(right)
        return [f"Always the commonest answer: {alone:.2%}; the commonest to each template: {known:.2%}."]


def _commonest(answers: NDArray[np.int64]) -> int:
    return int(np.bincount(answers).max()) if len(answers) else 0
