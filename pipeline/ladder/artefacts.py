"""A build's folder as the rungs see it: files are read when a rung first asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import StoreError
from common.terminal import Step
from hw.boards.board import Board
from hw.boards.boards import find
from hw.core.module import Tap
from hw.host.deployment import Target
from hw.interface import CoreInterface, load_weights
from hw.shells.protocol import design_identity
from hw.simulation.simulate import CoreSimulator
from models import data
from pipeline.artefacts.hardware import LAYERS, Layer
from pipeline.artefacts.metrics import load_teacher_logits
from pipeline.config.build import Build
from pipeline.ladder.execution import run_onnx
from pipeline.ladder.result import RungResult, compare, varied


@dataclass(frozen=True)
class Artefacts:
    """A build's folder. Each kind of student adds what only its rungs compare.

    Attributes:
        work: for scratch.
        log: takes what tools print.
        step: told of every frame over a serial link.
        port: the serial port of a real board that holds the build, for the rung `board`.
        target: a board reached by SSH, for the rung `board`.
    """

    config: Build
    folder: Path
    work: Path
    log: Path
    step: Step
    port: str | None = None
    target: Target | None = None

    @cached_property
    def dataset(self) -> data.Dataset:
        """The data set that the student was trained on."""
        return data.load(self.folder / "data.safetensors")

    @cached_property
    def x(self) -> NDArray[np.uint8]:
        """What every rung runs on, (n, ...): the test split."""
        return self.dataset.test.x

    @cached_property
    def teacher(self) -> NDArray[np.float64]:
        """The ensemble's outputs combined, on the test split, (n, outputs)."""
        task, path = self.config.task, self.folder / "teacher_logits.safetensors"
        return task.combine(load_teacher_logits(path, self.dataset, task))

    @cached_property
    def student(self) -> NDArray[np.float32]:
        """Outputs of the student on the test split, by the library that trained it, (n, outputs)."""
        raise NotImplementedError(f"{self.folder}: holds no trained student")

    @cached_property
    def student_onnx(self) -> NDArray[np.float32]:
        """Outputs of `student.onnx` in onnxruntime, (n, classes)."""
        x = self.dataset.test.x.astype(np.float32)
        return run_onnx(self.folder / "student.onnx", {"x": x}, ["logits"])[0]

    @cached_property
    def golden(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Integer outputs (n, outputs) and labels (n,) of `golden.onnx` in onnxruntime."""
        path, names = self.folder / "golden.onnx", ["logits", "label"]
        if not self.config.task.has_label:
            (logits,) = run_onnx(path, {"x": self.x}, names[:1])
            return logits, logits.argmax(axis=1)
        logits, label = run_onnx(path, {"x": self.x}, names)
        return logits, label

    @property
    def scale(self) -> float:
        """What one step of golden's integers stands for in the outputs of `student.onnx`."""
        return 1.0

    @cached_property
    def interface(self) -> CoreInterface:
        """The core's streams."""
        return CoreInterface.load(self.folder / "io.json")

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """The samples as the core takes them, (n, *shape)."""
        return self.x.reshape(-1, *self.interface.input.shape)

    @cached_property
    def expected(self) -> NDArray[np.int64]:
        """What the core has to give, (n, outputs): golden's integers, or its label."""
        logits, label = self.golden
        if self.config.compile.output == "label":
            return label.reshape(-1, 1).astype(np.int64)
        return logits.astype(np.int64)

    @cached_property
    def board(self) -> Board:
        """The build's board."""
        return find(self.config.board.name)

    @property
    def open_board(self) -> Board:
        """The build's board, where open tools make its bitstream; raises `ConfigError` otherwise."""
        return self.board.require_open()

    @property
    def core(self) -> Path:
        """The core's Verilog."""
        return self.folder / "core.v"

    @property
    def identity(self) -> bytes:
        """What a board that holds the core answers when asked for its design."""
        return design_identity(self.core.read_bytes())

    @cached_property
    def weights(self) -> bytes:
        """What has to be loaded before the core works, if anything; raises `ModelFileError`."""
        return load_weights(self.folder, self.interface)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The core's layers; raises `StoreError`."""
        return LAYERS.load(self.folder)

    def scratch(self, rung: str) -> Path:
        """A folder for one rung."""
        folder = self.work / rung
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def simulator(self, name: str, taps: tuple[Tap, ...] = ()) -> CoreSimulator:
        """The core compiled by Verilator, in the scratch folder `name`."""
        return CoreSimulator(
            self.core, self.interface, work=self.scratch(name), log=self.log, weights=self.weights, taps=taps
        )

    def some(self, count: int) -> NDArray[np.intp]:
        """The numbers of the samples that a slow rung takes."""
        return varied(self.expected, count)

    def compared(
        self, outputs: NDArray[Any], rows: NDArray[np.intp] | None = None, **metrics: Any
    ) -> RungResult:
        """Outputs of all samples, or of those of numbers `rows`, against what the core has to give."""
        expected = self.expected if rows is None else self.expected[rows]
        return compare("golden", expected, outputs.astype(np.int64), rows, **metrics)

    def tapped(self, x: NDArray[np.uint8], layers: Sequence[Layer]) -> list[NDArray[Any]]:
        """What `layers` with thresholds, of `layers.json`, give for frames by golden: (n, values) each."""
        raise StoreError(f"{self.folder / 'layers.json'}: layers that golden does not have; build again")
