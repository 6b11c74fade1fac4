"""Distillation methods against training on labels alone, over bit widths and seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from common.errors import ConfigError
from models.data import Dataset
from models.distill.losses import METHODS, HardLabels, SoftenedSoftmax
from models.distill.schedules import SCHEDULES, OneStep
from models.distill.schedules.specialist import Specialist
from models.distill.sources import SOURCES, TrainingData
from models.tasks import CLASSIFICATION, Task
from pipeline.artefacts.study import Labels, Result
from pipeline.config.build import Build, needed
from pipeline.config.file import with_values
from pipeline.studies.base import LABELS_ONLY, Finished, Run, Study, distill_of, student_of

OWN = "build"
"""The build file's own `[distill]`."""
ALL = "all"
PLAIN = (HardLabels.method, TrainingData.source, OneStep.kind, Specialist.kind)
"""What every comparison has, or what changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Compare(Study):
    """Train the student by each method and by labels alone.

    Students of the same bit width and seed start from the same weights and see the same samples in the same
    order, where the method leaves that open.

    Attributes:
        methods: names of losses, sources and schedules, joined by `+`; `build` for the build file's own
            `[distill]`, `all` for every one that fits task and networks. Losses are summed. Without a loss it
            is softened softmax, or the build's losses where the task is not classification. Losses that never
            look at the outputs are joined by the labels' own.
        bits: widths of all weights and activations; empty for those of the build file.
        samples: how much of the transfer set to train on; None for the build's.

    Raises `ConfigError`: unknown methods, or bits outside of 1 to 8.
    """

    kind: ClassVar[str] = "compare"
    any_task: ClassVar[bool] = True
    ranked: ClassVar[bool] = True
    units: ClassVar[dict[str, str]] = {"step time": "ms"}

    methods: tuple[str, ...] = (OWN,)
    bits: tuple[int, ...] = ()
    seeds: int = 5
    samples: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(1 <= width <= 8 for width in self.bits):
            raise ConfigError(f"{self.kind}: bits is {list(self.bits)}; give widths from 1 to 8")
        for name in self.methods:
            if name not in (OWN, ALL):
                distilled(name)

    def runs(self, build: Build, dataset: Dataset) -> Iterator[Run]:
        """Every method at every bit width and seed; the students on labels alone come with each."""
        if build.student.choices:
            raise ConfigError(f"{build.name}: the student leaves numbers open; give one each to compare")
        for bits in self.bits or (None,):
            for seed, values in self.seeded(build):
                values |= {"student.layers": at_bits(build, bits)} if bits else {}
                values |= {"distill.samples": self.samples} if self.samples else {}
                for method in self.fitting(build, dataset)[0]:
                    labels: Labels = {"bits": bits or "as built", "method": method, "seed": seed}
                    own = {} if method == OWN else distilled(method, build.task)
                    yield Run(labels, with_values(build, values | own))

    def fitting(self, build: Build, dataset: Dataset) -> tuple[list[str], list[str]]:
        """The methods that fit the networks, and why others do not, if all were asked for.

        Raises `ConfigError`: a method that was asked for by name does not fit.
        """
        architecture, fit, misfit = needed(build.teacher, "teacher").architecture, list[str](), list[str]()
        for method in every_method(build.task) if ALL in self.methods else dict.fromkeys(self.methods):
            try:
                for bits in self.bits or (None,):
                    values = {"student.layers": at_bits(build, bits)} if bits else {}
                    values |= {} if method == OWN else distilled(method, build.task)
                    derived = with_values(build, values)
                    topology = student_of(derived).topology(dataset.input_shape)
                    if architecture:
                        distill_of(derived).recipe().check(topology, architecture)
                fit.append(method)
            except ConfigError as error:
                if ALL not in self.methods:
                    raise
                misfit.append(f"Left out: {error}")
        return fit, misfit

    def results(self, run: Run, finished: Finished) -> Iterator[Result]:
        """Scores on the test split; agreement is with the teacher's answers there."""
        yield Result(run.labels | {"method": LABELS_ONLY}, finished.labels_only())
        yield Result(run.labels, finished.student())

    def reference(self, labels: Labels) -> Labels:
        """Students of the same width without distillation."""
        return {**labels, "method": LABELS_ONLY}

    def notes(self, build: Build, dataset: Dataset, results: list[Result]) -> list[str]:
        """What was left out of all methods."""
        return self.fitting(build, dataset)[1]


def every_method(task: Task) -> list[str]:
    """Every loss, source and schedule that serves the task by itself, but for the plain ones."""
    methods: dict[str, Any] = {**METHODS, **SOURCES, **SCHEDULES}
    plain = (*PLAIN, task.labels_only().method)
    return [name for name, method in methods.items() if name not in plain and task.accepts(method)]


def distilled(name: str, task: Task = CLASSIFICATION) -> dict[str, Any]:
    """The values of `[distill]` that a name of `methods` stands for, at the methods' defaults.

    Raises `ConfigError`: no such method, or two sources or schedules.
    """
    losses: list[dict[str, Any]] = []
    sources, schedules = list[str](), list[str]()
    for part in name.split("+"):
        if part in METHODS:
            losses.append({"method": part})
        elif part in SOURCES:
            sources.append(part)
        elif part in SCHEDULES:
            schedules.append(part)
        else:
            near = get_close_matches(part, (OWN, ALL, *METHODS, *SOURCES, *SCHEDULES), n=1)
            hint = f"did you mean '{near[0]}'?" if near else "`retort methods` lists all"
            raise ConfigError(f"{Compare.kind}: methods has no method '{part}'; {hint}")
    if len(sources) > 1 or len(schedules) > 1:
        raise ConfigError(
            f"{Compare.kind}: methods has '{name}' with more than one source or schedule; give one of each"
        )
    labelled = all(SOURCES[source].labelled for source in sources)
    if not losses and task.accepts(SoftenedSoftmax):
        losses = [{"method": SoftenedSoftmax.method} | ({} if labelled else {"hard_label_weight": 0.0})]
    elif losses and not any(METHODS[loss["method"]]().whole for loss in losses):
        losses.insert(0, {"method": task.labels_only().method})
    return ({"distill.losses": losses} if losses else {}) | {
        "distill.data": {"source": sources[0] if sources else TrainingData.source},
        "distill.schedule": {"kind": schedules[0] if schedules else OneStep.kind},
    }


def at_bits(build: Build, bits: int) -> list[dict[str, Any]]:
    """The student's layers with weights and activations of so many bits wherever there are some."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: bits if key in ("weight_bits", "activation_bits") else changed(each)
            for key, each in value.items()
        }

    layers = build.student.model_dump(mode="json", exclude_none=True)["layers"]
    return [changed(layer) for layer in layers]
