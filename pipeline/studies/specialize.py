"""Ensembles that specialize, on generated scenes with questions; what `retort experiment specialize` answers.

Learning to specialize with knowledge distillation (Mun et al. 2018, NeurIPS): every ensemble starts from the
same independently trained base models and takes as many steps. Accuracies are those of frozen students.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError
from common.files import write_atomic, writing
from common.progress import Display, Step, track
from common.topology import AveragePool, Conv, Dense, Topology
from hw.boards.boards import BOARDS, find
from models import export
from models.data.scenes import ANSWERS, TEMPLATES, Questions, scenes
from models.distill.training.ensembles import independent, specialize
from models.distill.training.multiple_choice import (
    ConfidentMultipleChoice,
    DistilledMultipleChoice,
    MultipleChoice,
)
from models.metrics import accuracy, combine
from models.students import integer
from models.students.freeze import freeze
from models.students.integer import IntegerNetwork
from models.students.student import Student
from models.training import TrainingConfig
from pipeline.artefacts.hardware import LAYERS
from pipeline.artefacts.verification import VERIFICATION
from pipeline.config.build import BoardConfig, Build, CompileConfig, VerifyConfig
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.climbing import CORE, OPEN, Ladder, climb, failure
from pipeline.stages.bitstream import implement
from pipeline.students.base import describe
from pipeline.studies.result import summarize

INDEPENDENT = "independent"
BATCH, RATE, LATER_RATE, DECAY = 64, 1e-2, 3e-3, 1e-4
HELD_OUT = 1000
"""Questions for validation, and as many for the test."""
TARGET_CYCLES = 640
"""Of a frame in a member's core, whose 603 bytes come one a cycle."""


@dataclass(frozen=True, kw_only=True)
class Specialization:
    """The experiment.

    Attributes:
        members: M, students of an ensemble.
        overlap: k, members assigned to each sample.
        temperature: of MCL-KD's targets.
        beta: weight of what members learn, in CMCL and MCL-KD, that are not assigned.
        assign: see `models.distill.training.multiple_choice.MultipleChoice`.
        seeds: ensembles of each kind.
        samples: questions to train on.
        base_epochs: of the base models.
        epochs: of each ensemble, after the base models.
        seed: of the scenes, and the first of the students'.
        board: to take the members of the first MCL-KD ensemble to; None to end with their cores.

    Raises:
        ConfigError: a board without open tools, a single member, overlap outside of 1..members, temperature
            not above 0, beta below 0, fewer than two seeds, or less than a batch of samples.
    """

    members: int = 3
    overlap: int = 1
    temperature: float = 1.0
    beta: float = 1.0
    assign: str = "task"
    seeds: int = 3
    samples: int = 3000
    base_epochs: int = 20
    epochs: int = 8
    seed: int = 1
    board: str | None = None

    def __post_init__(self) -> None:
        if self.board:
            find(self.board).require_open()
        for loss in self.losses().values():
            loss.check_members(self.members)
        if self.seeds < 2:
            raise ConfigError(f"--seeds: {self.seeds} has no spread; give at least 2")
        if self.samples < BATCH:
            raise ConfigError(f"--samples: {self.samples} questions; give at least {BATCH}")
        self.training(0, self.base_epochs, RATE)
        self.training(0, self.epochs, LATER_RATE)

    def losses(self) -> dict[str, MultipleChoice]:
        """What the base models are trained on by; `independent` is all members on all samples."""
        shared: dict[str, Any] = {"overlap": self.overlap, "assign": self.assign}
        methods = (
            MultipleChoice(**shared),
            ConfidentMultipleChoice(**shared, beta=self.beta),
            DistilledMultipleChoice(**shared, beta=self.beta, temperature=self.temperature),
        )
        return {INDEPENDENT: MultipleChoice(overlap=self.members)} | {each.method: each for each in methods}

    def training(self, run: int, epochs: int, rate: float) -> TrainingConfig:
        """How ensemble `run` is trained; each has as many seeds of its own as members."""
        return TrainingConfig(epochs, BATCH, rate, DECAY, self.seed + run * self.members)


def perform(asked: Specialization, folder: Path, display: Display) -> dict[str, Any]:
    """Train and measure all ensembles, build the cores of the first MCL-KD ensemble, write all to `folder`.

    Gives what `specialize.json` has, plain data as for JSON.

    Raises:
        LoweringError, ToolError: a member has no core.
        VerificationError: a core differs from its golden model.
        DiskError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    dataset, questions = scenes(asked.samples, HELD_OUT, HELD_OUT, asked.seed)
    topology = student(dataset.input_shape)
    runs: list[dict[str, Any]] = []
    built: Sequence[IntegerNetwork] = ()
    for run in track(display.step, "seeds", range(asked.seeds)):
        first = asked.training(run, asked.base_epochs, RATE)
        bases = independent(topology, dataset, asked.members, first, display.step)
        found = {"base models": measure(_frozen(bases), questions)}
        for name, loss in asked.losses().items():
            later = asked.training(run, asked.epochs, LATER_RATE)
            networks = _frozen(specialize(bases, dataset, loss, later, display.step)[0])
            found[name] = measure(networks, questions)
            if run == 0:
                built = networks  # the last of the methods is MCL-KD
            display.note(f"{name}: {found[name]['top1']:.2%} top-1, {found[name]['oracle']:.2%} oracle")
        runs.append({"seed": first.seed, **found})
    cores = [
        build_core(network, questions, folder / f"member{place}", asked, display.step)
        for place, network in enumerate(track(display.step, "cores", built))
    ]
    answer = {"settings": asdict(asked), **_table(runs, questions), "runs": runs, "cores": cores}
    write_atomic(folder / "specialize.json", (json.dumps(answer, indent=2) + "\n").encode())
    return {**answer, "folder": str(folder)}


def student(input_shape: tuple[int, ...]) -> Topology:
    """Every member's shape: each cell with the question, the sum over all cells, the answer."""
    layers = (
        Conv(16, (1, 1), 4, 4),
        Conv(16, (1, 1), 4, 4),
        AveragePool(None, None),
        Dense(32, 4, 4),
        Dense(len(ANSWERS), 4, None),
    )
    return Topology(input_shape, layers)


def measure(networks: Sequence[IntegerNetwork], questions: Questions) -> dict[str, Any]:
    """Accuracies (0 to 1) of an ensemble.

    Gives `top1` of its mean probabilities, `oracle`, the share of questions that at least one member has
    right, `member`, the mean of its members, and `templates`, of each member (rows) on each of `TEMPLATES`.
    """
    test = questions.split()
    logits = np.stack([network.forward(test.x) * network.logit_scale for network in networks])
    right = logits.argmax(axis=2) == test.y
    return {
        "top1": accuracy(combine(logits), test.y),
        "oracle": float(right.any(axis=0).mean()),
        "member": float(right.mean()),
        "templates": [_by_template(row, questions) for row in right],
    }


def build_core(
    network: IntegerNetwork, questions: Questions, folder: Path, asked: Specialization, step: Step
) -> dict[str, Any]:
    """Write a member's golden model and core, compare them on all test questions, and go on to the board.

    Raises:
        LoweringError, ToolError: there is no core of it, or no room for it.
        VerificationError: core or chip differ; names the first question.
    """
    from hw.core import design
    from hw.finn.lowering import Folding, lower
    from hw.finn.reader import read
    from hw.interface import Affine

    folder.mkdir(parents=True, exist_ok=True)
    integer.save(network, folder / "frozen.safetensors")
    export.save_model(export.golden_model(network), folder / "golden.onnx")
    export.save_model(export.qonnx_model(network), folder / "student.qonnx.onnx")
    folding, log = Folding(target_cycles=TARGET_CYCLES), folder / "core.log"
    graph = read(lower(folder / "student.qonnx.onnx", folding=folding, label=False, log=log))
    with tempfile.TemporaryDirectory(prefix="retort-specialize-") as name:
        core = design(graph, Path(name))
    (folder / "core.v").write_text(core.verilog)
    replace(core.interface, output_values=Affine(network.logit_scale)).save(folder / "io.json")
    LAYERS.save(folder, tuple(describe(layer, None) for layer in graph.layers))
    x = questions.split().x
    rungs = _climbed(x, folder, asked, step)
    return {
        "folder": folder.name,
        "questions": len(x),
        "interval_cycles": rungs[0]["metrics"]["interval_cycles"],
        "rungs": rungs,
    }


def _climbed(x: NDArray[np.uint8], folder: Path, asked: Specialization, step: Step) -> list[dict[str, Any]]:
    """The rungs from the core in `folder` on, and what the board gets."""
    wanted = BoardConfig(name=asked.board or next(iter(BOARDS)))
    if asked.board:
        with tempfile.TemporaryDirectory(prefix="retort-specialize-") as name:
            implement(
                wanted,
                folder / "core.v",
                folder / "io.json",
                folder,
                work=Path(name) / "build",
                seed=asked.seed,
                log=folder.joinpath,
                step=step,
            )

    class Member(Artefacts):
        """A member's folder, which is no build's."""

        @cached_property
        def x(self) -> NDArray[np.uint8]:
            """The test questions."""
            return x

    build = Build.model_construct(board=wanted, verify=VerifyConfig(), compile=CompileConfig())
    ladder = Ladder(Member, {}, CORE | OPEN if asked.board else CORE)
    found = climb(ladder, build, folder, folder.name, folder / "verification.log", step)
    failed = failure(found.rungs, str(folder))
    if failed:
        raise failed
    rows: list[dict[str, Any]] = VERIFICATION.plain(tuple(found.rungs))
    return rows


def _frozen(students: Sequence[Student]) -> list[IntegerNetwork]:
    return [freeze(each, f"member{place}") for place, each in enumerate(students)]


def _by_template(right: NDArray[np.bool_], questions: Questions) -> dict[str, float]:
    rows = ((name, questions.templates == place) for place, name in enumerate(TEMPLATES))
    return {name: float(right[asked].mean()) for name, asked in rows if asked.any()}


def _table(runs: Sequence[dict[str, Any]], questions: Questions) -> dict[str, Any]:
    """A row for each kind of ensemble, and what answering without a look at the picture would come to."""
    counts = np.zeros((len(TEMPLATES), len(ANSWERS)), np.int64)
    np.add.at(counts, (questions.templates, questions.answers), 1)
    names = [name for name in runs[0] if name != "seed"]
    return {
        "majority": float(counts.sum(axis=0).max() / counts.sum()),
        "majority_by_template": float(counts.max(axis=1).sum() / counts.sum()),
        "table": [{"method": name, **_row(name, runs)} for name in names],
    }


def _row(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Accuracies over the seeds, and their differences to independent ensembles of the same seed."""
    row: dict[str, Any] = {}
    for key in ("top1", "oracle", "member"):
        values = np.array([run[name][key] for run in runs])
        against = np.array([run[INDEPENDENT][key] for run in runs])
        row[key] = asdict(summarize(values))
        row[f"{key}_difference"] = asdict(summarize(values - against))
    return row
