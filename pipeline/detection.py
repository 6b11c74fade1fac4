"""Distilled detectors on scenes of a build's pictures: what `retort detect` answers.

The student is fully convolutional, and all of it is in the core: for each cell of the scene logits and a box,
as integers. Scales, softmax, boxes in pixels and suppression are the host's (`models.detection.grid`).
"""

import json
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.block_rams import with_resources
from hw.boards import find
from hw.core import design
from hw.cost import estimate
from hw.dataflow import DataflowGraph
from hw.finn_reader import read
from hw.folding import fold
from hw.interface import WEIGHTS
from hw.lowering import Folding, lower
from hw.simulate import CoreSimulator
from models import data
from models.data import Dataset
from models.detection.boxes import mean_average_precision
from models.detection.grid import Grid
from models.detection.losses import LABELS, DetectionLoss
from models.detection.networks import DetectorConfig
from models.detection.scenes import SceneConfig, Scenes, make_scenes
from models.detection.training import School, check_hint
from models.evaluation import deterministic, predict
from models.export import golden_model, qonnx_model, save_model
from models.freeze import freeze
from models.integer import IntegerNetwork
from models.topology import Topology
from models.training import TrainingConfig
from pipeline.comparison.summary import summarize
from pipeline.config import BuildConfig
from pipeline.errors import ConfigError, VerificationError
from pipeline.progress import Step
from pipeline.verification.artefacts import run_onnx

FOLDER = "detection"

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

    def training(self, config: BuildConfig, epochs: int, seed: int) -> TrainingConfig:
        """How a detector is trained."""
        return TrainingConfig(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-4,
            seed=seed,
            threads=config.training.threads,
            accelerator=config.training.accelerator,
            devices=config.training.devices,
        )


@dataclass(frozen=True, eq=False)
class _Plan:
    """A run on a data set, checked before anything is trained."""

    config: BuildConfig
    run: DetectionRun
    school: School
    test: Scenes
    topology: Topology
    loss: DetectionLoss

    def score(self, outputs: NDArray[np.floating[Any]]) -> float:
        """The mean average precision on the test scenes of outputs (n, values), scales applied."""
        return mean_average_precision(self.school.grid.detections(outputs), self.test)


def detect(config: BuildConfig, dataset: Path, run: DetectionRun, folder: Path, step: Step) -> dict[str, Any]:
    """Train teacher and students; write golden model, core and `detection.json` to `detection/` of `folder`.

    `dataset` is the file that stage `data` left. The core is that of the distilled student of the first seed,
    and is simulated on all test scenes. Gives what `detection.json` holds.

    Raises:
        ConfigError: a setting that the data set or the student does not allow; before any training.
        CapacityError: no fold of the student takes so few cycles.
        VerificationError: golden model or core give another value than the student; names the scene.
    """
    plan = _planned(config, data.load(dataset), run, step)
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    teacher, students, network = _trained(plan)
    graph = _lowered(plan, network, out)
    hardware = _verified(network, graph, plan.test.x, out)
    found = {
        "build": config.name,
        "settings": asdict(replace(run, loss=plan.loss)),
        "objects": int((plan.test.labels >= 0).sum()),
        "teacher": teacher,
        "students": students,
        **{
            key: asdict(summarize(np.array([row[key] for row in students])))
            for key in ("distilled", "labels")
        },
        "decode": asdict(plan.school.grid) | {"scale": network.logit_scale},
        "hardware": hardware | _takes(plan, graph),
        "folder": str(out),
    }
    (out / "detection.json").write_text(json.dumps(found, indent=2) + "\n")
    return found


def _planned(config: BuildConfig, dataset: Dataset, run: DetectionRun, step: Step) -> _Plan:
    asked = SceneConfig.of(dataset.input_shape, run.side)
    grid = Grid.of(asked, run.networks.stride, dataset.classes)
    shape = (asked.side, asked.side, dataset.input_shape[2])
    topology, loss = run.networks.topology(shape, grid), run.loss
    if loss.hint_layer == BACKBONE:
        loss = replace(loss, hint_layer=topology.steps[-2].name)
    check_hint(topology, loss)
    run.training(config, run.epochs, config.seed)
    board = find(config.board.name)
    fold(topology, run.cycles, board.family, board.budget)
    counts = (run.scenes, max(1, run.scenes // 10), run.test_scenes)
    splits = (dataset.train, dataset.validation, dataset.test)
    train, validation, test = (
        make_scenes(split, dataset.input_shape, dataset.classes, asked, count, [config.seed, number])
        for number, (split, count) in enumerate(zip(splits, counts, strict=True))
    )
    return _Plan(config, run, School(grid, train, validation, step), test, topology, loss)


def _trained(plan: _Plan) -> tuple[float, list[dict[str, Any]], IntegerNetwork]:
    """The teacher's score, those of all students, and the first distilled one, frozen."""
    config, run, school = plan.config, plan.run, plan.school
    teacher, _ = school.teach(run.networks, run.training(config, run.teacher_epochs, config.seed))
    with deterministic(config.training.threads):
        score = plan.score(predict(teacher, plan.test.x))
    rows: list[dict[str, Any]] = []
    first: IntegerNetwork | None = None
    for seed in range(config.seed, config.seed + run.seeds):
        training, row = run.training(config, run.epochs, seed), {"seed": float(seed)}
        for name, loss in (("distilled", plan.loss), ("labels", LABELS)):
            student, _ = school.distil(plan.topology, loss, training, teacher, f"student {seed} ({name})")
            network = freeze(student, "detector")
            first = first or network
            row[name] = plan.score(network.forward(plan.test.x) * network.logit_scale)
        rows.append(row)
    assert first is not None
    return score, rows, first


def _lowered(plan: _Plan, network: IntegerNetwork, out: Path) -> DataflowGraph:
    """The student's golden model in `golden.onnx`, and its dataflow graph by way of FINN, folded."""
    save_model(golden_model(network), out / "golden.onnx")
    save_model(qonnx_model(network), out / "student.qonnx.onnx")
    config, board = plan.config, find(plan.config.board.name)
    folds = fold(plan.topology, plan.run.cycles, board.family, board.budget)
    model = lower(out / "student.qonnx.onnx", folding=Folding(folds=folds), label=False, log=out / "finn.log")
    budget = board.budget_of(config.board.shell)
    return with_resources(read(model), config.compile.multiply, board.family, budget)


def _verified(
    network: IntegerNetwork, graph: DataflowGraph, x: NDArray[np.uint8], out: Path
) -> dict[str, Any]:
    """Write the core; compare golden model with student, and core with golden model, on scenes `x`."""
    (golden,) = run_onnx(out / "golden.onnx", {"x": x}, ["logits"])
    _compare("golden model", golden, network.forward(x))
    with tempfile.TemporaryDirectory(prefix="retort-detect-") as name:
        work = Path(name)
        core = design(graph, work / "amaranth")
        (out / "core.v").write_text(core.verilog)
        core.interface.save(out / "io.json")
        if core.weights:
            (out / WEIGHTS).write_bytes(core.weights)
        simulator = CoreSimulator(
            out / "core.v", core.interface, work=work, log=out / "simulation.log", weights=core.weights
        )
        simulation = simulator.run(x.reshape(-1, *core.interface.input.shape))
    _compare("core", simulation.outputs, golden)
    return {"samples": len(x), "mismatches": 0, "interval_cycles": simulation.interval}


def _compare(what: str, given: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Check that two sets of outputs (n, values) are equal."""
    differing = np.argwhere(given != wanted)
    if len(differing):
        scene, place = (int(each) for each in differing[0])
        count = len(np.unique(differing[:, 0]))
        raise VerificationError(
            f"detection: the {what} differs on {count} of {len(wanted)} scenes, first on {scene}, value"
            f" {place}: {given[scene, place]} for {wanted[scene, place]}; report this"
        )


def _takes(plan: _Plan, graph: DataflowGraph) -> dict[str, Any]:
    """What the core alone will take of the build's board, estimated, and what the board has."""
    board = find(plan.config.board.name)
    budget, total = board.budget_of(plan.config.board.shell), estimate(graph, board.family).total
    return {
        "board": board.name,
        "scenes_per_second": board.clock_hz / graph.interval_bound,
        "estimate": {key: round(value) for key, value in asdict(total).items()},
        "budget": {key: getattr(budget, key) for key in asdict(total)},
    }
