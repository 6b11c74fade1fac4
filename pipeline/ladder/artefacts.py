"""What the rungs compare: a build's files, read when first asked for, and the result of a rung."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ModelFileError, RetortError, StoreError, VerificationError
from common.progress import Step
from hw.boards.board import Board
from hw.boards.boards import find
from hw.host.deployment import Target
from hw.interface import Affine, CoreInterface, load_weights
from models import data
from models.metrics import combine
from models.students import integer
from pipeline.artefacts.hardware import Layer
from pipeline.artefacts.imported import Trial, load_trial
from pipeline.artefacts.metrics import load_teacher_logits
from pipeline.config.build import Build
from pipeline.config.imported import ImportedStudent

BATCH = 256
"""Samples at once in onnxruntime: whole test sets of pictures would not fit caches, nor some memories."""


@dataclass(frozen=True)
class Finding:
    """What a rung found; skipped where `passed` is None, for the reason `skipped`.

    `mismatches` counts samples, of `samples`, on which the artefact and its reference differ, first on the
    one at `differs_at`. `error` is what kept the rung from being climbed; it says nothing of the artefact.
    Raises `VerificationError` where it passed and nothing was compared.
    """

    passed: bool | None
    against: str
    samples: int = 0
    mismatches: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    first_mismatch: str | None = None
    skipped: str | None = None
    differs_at: int | None = None
    error: RetortError | None = None

    def __post_init__(self) -> None:
        if self.passed and self.samples < 1:
            raise VerificationError(f"no sample was compared with {self.against}")


@dataclass(frozen=True)
class Artefacts:
    """A build's folder; `work` is for scratch, `log` takes what tools print.

    For the last rung, `port` is the serial port of a real board that holds the build, `target` a board
    reached by SSH.
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
    def trial(self) -> Trial:
        """The network made elsewhere, and what it is tried on."""
        student = self.config.student_as(ImportedStudent)
        data_set, recorded = (self.folder / f"{name}.safetensors" for name in ("data", "recorded"))
        return load_trial(
            self.folder / "network.json",
            data_set if self.config.data else None,
            recorded if student.recorded else None,
        )

    @cached_property
    def x(self) -> NDArray[np.uint8]:
        """What every rung runs on, (n, ...): the test split, or what was recorded."""
        if isinstance(self.config.student, ImportedStudent):
            return self.trial.core_frames
        return self.dataset.test.x

    @cached_property
    def teacher(self) -> NDArray[np.float64]:
        """The ensemble's probabilities on the test split, (n, classes)."""
        return combine(load_teacher_logits(self.folder / "teacher_logits.safetensors", self.dataset))

    @cached_property
    def network(self) -> integer.IntegerNetwork:
        """The frozen student."""
        return integer.load(self.folder / "frozen.safetensors")

    @cached_property
    def torch_logits(self) -> NDArray[np.float32]:
        """Logits of the torch student on the test split, (n, classes)."""
        from models.students.frozen import FrozenStudent
        from models.training.evaluation import predict

        return predict(FrozenStudent(self.network), self.dataset.test.x)

    @cached_property
    def student_logits(self) -> NDArray[np.float32]:
        """Logits of `student.onnx` in onnxruntime."""
        x = self.dataset.test.x.astype(np.float32)
        return run_onnx(self.folder / "student.onnx", {"x": x}, ["logits"])[0]

    @cached_property
    def golden(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Integer logits (n, classes) and labels (n,) of `golden.onnx` in onnxruntime."""
        logits, label = run_onnx(self.folder / "golden.onnx", {"x": self.x}, ["logits", "label"])
        return logits, label

    @cached_property
    def interface(self) -> CoreInterface:
        """The core's streams."""
        return CoreInterface.load(self.folder / "io.json")

    @cached_property
    def output(self) -> Affine:
        """What golden's integers stand for, of a network made elsewhere."""
        from hw.finn.lowering import kept_output, load_hardware

        return kept_output(load_hardware(self.folder / "hardware.onnx"))

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """The same as the core takes it, (n, *shape)."""
        return self.x.reshape(-1, *self.interface.input.shape)

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

    @cached_property
    def weights(self) -> bytes:
        """What has to be loaded before the core works, if anything; raises `ModelFileError`."""
        return load_weights(self.folder, self.interface)

    @property
    def native(self) -> bool:
        """Whether the build was made with native tools."""
        return self.config.board.toolchain == "native"

    def expected(self) -> NDArray[np.int64]:
        """What the core must give, (n, outputs): golden's logits, or its label."""
        logits, label = self.golden
        if self.config.compile.output == "label":
            return label.reshape(-1, 1).astype(np.int64)
        return logits.astype(np.int64)

    def tapped(self, x: NDArray[np.uint8], layers: Sequence[Layer]) -> list[NDArray[Any]]:
        """What layers with thresholds, of `layers.json`, give for frames by golden: (n, values) each.

        Golden's layers are found by name: of a student, what its file calls them, for FINN has its own order.
        Raises `StoreError` where `layers.json` does not say.
        """
        if isinstance(self.config.student, ImportedStudent):
            from hw.dataflow.golden import golden_from_graph
            from hw.finn.lowering import load_hardware
            from hw.finn.reader import read

            model = golden_from_graph(read(load_hardware(self.folder / "hardware.onnx")), taps=True)
            names = [f"tap_{layer.name}" for layer in layers]
        else:
            from models.export import golden_model

            model = golden_model(self.network, taps=True)
            if any(layer.origin is None for layer in layers):
                raise StoreError(f"{self.folder / 'layers.json'}: a layer without origin; build again")
            names = [f"tap_{layer.origin}" for layer in layers]
        return run_model(model.SerializeToString(), {"x": x}, names, "golden.onnx")


def run_onnx(path: Path, feeds: dict[str, NDArray[Any]], outputs: list[str]) -> list[NDArray[Any]]:
    """Run an ONNX file in onnxruntime; raises `ModelFileError` where it cannot."""
    from models.export import load_checked

    return run_model(load_checked(path).SerializeToString(), feeds, outputs, str(path))


def run_model(
    model: bytes, feeds: dict[str, NDArray[Any]], outputs: list[str], where: str
) -> list[NDArray[Any]]:
    """Run a serialized ONNX model in onnxruntime, in batches; raises `ModelFileError` where it cannot.

    `feeds` are as many samples each, which the results are of, too.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        count = len(next(iter(feeds.values())))
        parts = [
            session.run(outputs, {name: array[start : start + BATCH] for name, array in feeds.items()})
            for start in range(0, max(1, count), BATCH)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    except (state.Fail, state.InvalidGraph, state.InvalidArgument, state.NotImplemented, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelFileError(f"{where}: onnxruntime refuses it ({first:.200}); export it again") from error


def compare(
    against: str,
    expected: NDArray[Any],
    actual: NDArray[Any],
    rows: NDArray[np.intp] | None = None,
    **metrics: Any,
) -> Finding:
    """Compare outputs `(n, outputs)` bit for bit; the first mismatch is named with both values.

    `rows` are the numbers of the samples, 0, 1, ... where they are not given. Samples that are all expected
    to give the same are no proof: an artefact that ignores its input would pass.
    """
    if expected.shape != actual.shape:
        text = f"outputs of shape {actual.shape}, expected {expected.shape}"
        return Finding(False, against, len(expected), len(expected), metrics, text)
    differs = expected != actual
    bad = np.flatnonzero(differs.any(axis=1))
    first = sample = None
    if len(bad):
        sample = int(bad[0] if rows is None else rows[bad[0]])
        output = int(np.flatnonzero(differs[bad[0]])[0])
        first = (
            f"sample {sample}, class {output}: expected {expected[bad[0], output]},"
            f" got {actual[bad[0], output]}"
        )
    elif constant(expected):
        first = f"all {len(expected)} samples are expected to give the same, which proves nothing"
    return Finding(first is None, against, len(expected), len(bad), metrics, first, differs_at=sample)


def constant(outputs: NDArray[Any]) -> bool:
    """Whether several samples `(n, outputs)` all have the same outputs."""
    return len(outputs) > 1 and bool((outputs == outputs[0]).all())


def varied(expected: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The numbers of the first `count` samples, of which the last makes way where all would give the same."""
    rows = np.arange(min(count, len(expected)))
    others = np.flatnonzero((expected != expected[:1]).any(axis=1))
    if len(rows) > 1 and len(others) and others[0] >= len(rows):
        rows[-1] = others[0]
    return rows
