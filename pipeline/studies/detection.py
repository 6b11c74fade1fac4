"""Distilled detectors on scenes of a build's pictures, measured, and the first one's core.

The student is fully convolutional, and all of it is in the core: for each cell of the scene logits and a box,
as integers. Scales, softmax, boxes in pixels and suppression are the host's (`models.tasks.detection.grid`).
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, VerificationError
from common.progress import Step
from common.topology import Topology
from hw.boards.boards import find_open
from hw.core import design
from hw.dataflow import DataflowGraph
from hw.finn.lowering import Fold, Folding, lower
from hw.finn.reader import read
from hw.interface import WEIGHTS, Affine
from hw.mapping.block_rams import with_resources
from hw.mapping.cost import estimate
from models.data import Dataset
from models.export import golden_model, qonnx_model, save_model
from models.students import integer
from models.students.freeze import freeze
from models.students.integer import IntegerNetwork
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import Grid
from models.tasks.detection.losses import LABELS, DetectionLoss
from models.tasks.detection.networks import DetectorConfig
from models.tasks.detection.scenes import SceneConfig, Scenes, make_scenes
from models.tasks.detection.training import School, check_hint
from models.training import TrainingConfig
from models.training.evaluation import deterministic, predict
from pipeline.config.build import Build, needed
from pipeline.ladder.artefacts import compare, run_onnx
from pipeline.sizing.assessment import assess
from pipeline.studies.comparison.summary import summarize

BACKBONE = "backbone"
"""As a hint's layer: the last before the head."""


@dataclass(frozen=True)
class DetectionRun:
    """What `retort detect` is asked for.

    Attributes:
        loss: of the distilled students; its hint's layer may be `BACKBONE`.
        networks: student and teacher.
        side: pixels of a scene each way; None for what fits the pictures.
        scenes: to learn from; a tenth as many choose the best epoch.
        test_scenes: to measure and to verify the core on.
        epochs, teacher_epochs, batch_size, learning_rate: of the training.
        seeds: students of each kind, the first of the build's seed.
        cycles: that a scene may take in the core.

    Raises:
        ConfigError: a number below 1, or fewer than two seeds, which have no spread.
    """

    loss: DetectionLoss = field(default_factory=lambda: DetectionLoss(hint_layer=BACKBONE))
    networks: DetectorConfig = field(default_factory=DetectorConfig)
    side: int | None = None
    scenes: int = 1500
    test_scenes: int = 300
    epochs: int = 20
    teacher_epochs: int = 10
    batch_size: int = 16
    learning_rate: float = 3e-3
    seeds: int = 3
    cycles: int = 20_000

    def __post_init__(self) -> None:
        least = {"scenes": 1, "test_scenes": 1, "epochs": 1, "teacher_epochs": 1, "seeds": 2, "cycles": 1}
        for key, low in least.items():
            if getattr(self, key) < low:
                raise ConfigError(f"detection: {key} is {getattr(self, key)}; give at least {low}")

    def training(self, config: Build, epochs: int, seed: int) -> TrainingConfig:
        """How a detector is trained."""
        return TrainingConfig(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-4,
            seed=seed,
            threads=needed(config.training, "training").threads,
            accelerator=needed(config.training, "training").accelerator,
            devices=needed(config.training, "training").devices,
        )


@dataclass(frozen=True, eq=False)
class DetectionPlan:
    """What a run comes to on a data set."""

    config: Build
    run: DetectionRun
    scenes: SceneConfig
    grid: Grid
    topology: Topology
    folds: tuple[Fold, ...]
    loss: DetectionLoss


def planned(config: Build, dataset: Dataset, run: DetectionRun, *, fits: bool = False) -> DetectionPlan:
    """Check a run against its data set and board; quick.

    Raises:
        ConfigError: a setting that the data set or the student does not allow.
        CapacityError: no fold takes so few cycles, or, with `fits`, the board has no room for the student.
    """
    asked = SceneConfig.of(dataset.input_shape, run.side)
    grid = Grid.of(asked, run.networks.stride, dataset.classes)
    shape = (asked.side, asked.side, dataset.input_shape[2])
    topology, loss = run.networks.topology(shape, grid), run.loss
    if loss.hint_layer == BACKBONE:
        loss = replace(loss, hint_layer=topology.steps[-2].name)
    check_hint(topology, loss)
    run.training(config, run.epochs, config.seed)
    folded = config.compile.model_copy(update={"target_cycles": run.cycles, "fold": None, "output": "logits"})
    assessed = assess(topology, config.model_copy(update={"compile": folded, "size": None}))
    if fits:
        assessed.require_fit()
    return DetectionPlan(config, run, asked, grid, topology, assessed.folds, loss)


def make_detector(
    plan: DetectionPlan, dataset: Dataset, out: Path, *, work: Path, log: Path, step: Step
) -> dict[str, Any]:
    """Train teacher and students; write the first distilled student, its core, and what is told of all.

    To `out` go `detection.json`, `frozen.safetensors`, `student.qonnx.onnx`, `golden.onnx`, `core.v`,
    `io.json`, `weights.bin` and the test scenes, `scenes.safetensors`. Gives what `detection.json` holds.

    Raises:
        LoweringError, ToolError: there is no core of it.
        VerificationError: golden gives another value than the student; names the scene.
    """
    run = plan.run
    train, validation, test = _scenes(plan, dataset)
    school = School(plan.grid, train, validation, step)
    teacher, students, network = _trained(plan, school, test)
    integer.save(network, out / "frozen.safetensors")
    test.save(out / "scenes.safetensors")
    graph = _lowered(plan, network, out, log)
    _compare(network, out, test.x)
    core = design(graph, work)
    (out / "core.v").write_text(core.verilog)
    values = tuple(Affine(*pair) for pair in dataset.byte_values)
    interface = replace(core.interface, input_values=values, output_values=Affine(network.logit_scale))
    interface.save(out / "io.json")
    (out / WEIGHTS).write_bytes(core.weights)
    found = {
        "settings": asdict(replace(run, loss=plan.loss)),
        "objects": int((test.labels >= 0).sum()),
        "teacher": teacher,
        "students": students,
        **{
            key: asdict(summarize(np.array([row[key] for row in students])))
            for key in ("distilled", "labels")
        },
        "decode": asdict(plan.grid) | {"scale": network.logit_scale},
        "hardware": _takes(plan, graph),
    }
    (out / "detection.json").write_text(json.dumps(found, indent=2) + "\n")
    return found


def _scenes(plan: DetectionPlan, dataset: Dataset) -> list[Scenes]:
    """Scenes to learn from, to choose the best epoch by, and to measure on."""
    run = plan.run
    counts = (run.scenes, max(1, run.scenes // 10), run.test_scenes)
    splits = (dataset.train, dataset.validation, dataset.test)
    return [
        make_scenes(
            split, dataset.input_shape, dataset.classes, plan.scenes, count, [plan.config.seed, number]
        )
        for number, (split, count) in enumerate(zip(splits, counts, strict=True))
    ]


def _trained(
    plan: DetectionPlan, school: School, test: Scenes
) -> tuple[float, list[dict[str, Any]], IntegerNetwork]:
    """The teacher's mean average precision, those of all students, and the first distilled one, frozen."""
    config, run = plan.config, plan.run

    def score(outputs: NDArray[np.floating[Any]]) -> float:
        return mean_average_precision(plan.grid.detections(outputs), test)

    teacher, _ = school.teach(run.networks, run.training(config, run.teacher_epochs, config.seed))
    with deterministic(needed(config.training, "training").threads):
        best = score(predict(teacher, test.x))
    rows: list[dict[str, Any]] = []
    first: IntegerNetwork | None = None
    for seed in range(config.seed, config.seed + run.seeds):
        training, row = run.training(config, run.epochs, seed), {"seed": float(seed)}
        for name, loss in (("distilled", plan.loss), ("labels", LABELS)):
            student, _ = school.distil(plan.topology, loss, training, teacher, f"student {seed} ({name})")
            network = freeze(student, "detector")
            first = first or network
            row[name] = score(network.forward(test.x) * network.logit_scale)
        rows.append(row)
    assert first is not None
    return best, rows, first


def _lowered(plan: DetectionPlan, network: IntegerNetwork, out: Path, log: Path) -> DataflowGraph:
    """The student's golden model in `golden.onnx`, and its dataflow graph by way of FINN, folded."""
    save_model(golden_model(network), out / "golden.onnx")
    save_model(qonnx_model(network), out / "student.qonnx.onnx")
    config, board = plan.config, find_open(plan.config.board.name)
    model = lower(out / "student.qonnx.onnx", folding=Folding(folds=plan.folds), label=False, log=log)
    budget = board.budget_of(config.board.shell)
    return with_resources(read(model), config.compile.multiply, board.family, budget)


def _compare(network: IntegerNetwork, out: Path, x: NDArray[np.uint8]) -> None:
    """Check golden against the frozen student on scenes x (n, values)."""
    (golden,) = run_onnx(out / "golden.onnx", {"x": x}, ["logits"])
    found = compare("frozen student", network.forward(x).astype(np.int64), golden.astype(np.int64))
    if not found.passed:
        raise VerificationError(
            f"detection: golden differs on {found.mismatches} of {found.samples} scenes, first:"
            f" {found.first_mismatch}; report this"
        )


def _takes(plan: DetectionPlan, graph: DataflowGraph) -> dict[str, Any]:
    """What the core alone will take of the build's board, estimated, and what the board has."""
    board = find_open(plan.config.board.name)
    budget, total = board.budget_of(plan.config.board.shell), estimate(graph, board.family).total
    return {
        "board": board.name,
        "interval_bound_cycles": graph.interval_bound,
        "scenes_per_second": board.clock_hz / graph.interval_bound,
        "estimate": {key: round(value) for key, value in asdict(total).items()},
        "budget": {key: getattr(budget, key) for key in asdict(total)},
    }
