"""ResNet-8, with two strided residual blocks, sized, compiled and proven by the stages' own code."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.finn.graph import load_hardware
from hw.finn.reader import read
from models import data
from models.data import Dataset, Split
from models.export import golden_model, qonnx_model, save_model
from models.students import integer
from models.students.freeze import freeze
from pipeline.artefacts.hardware import LAYERS
from pipeline.config import file as config
from pipeline.engine.stage import StageContext
from pipeline.ladder import hardware
from pipeline.ladder.networks import QuantizedArtefacts
from pipeline.sizing.assessment import assess
from pipeline.sizing.result import Sized
from pipeline.students.quantized import compile_core
from tests.models.networks import random_student

FRAMES = 20
SHAPE = (32, 32, 3)

BUILD = """
name = "resnet"
seed = 1
[data]
source = "cifar10"
validation_fraction = 0.1
[teacher]
members = 1
hidden = [8]
epochs = 1
batch_size = 64
learning_rate = 1e-2
weight_decay = 0.0
[student]
layers = [
    {{ kind = "conv", outputs = 16, kernel = 3, padding = 1, weight_bits = 4, activation_bits = 4 }},
{blocks}
    {{ kind = "average-pool" }},
    {{ outputs = 10, weight_bits = 4 }},
]
epochs = 1
batch_size = 64
learning_rate = 1e-2
weight_decay = 0.0
[distill]
losses = [{{ method = "softened-softmax", temperature = 4.0, hard_label_weight = 0.1 }}]
[compile]
target_cycles = 200000
[board]
name = "ulx3s-85f"
"""


def conv(outputs: int, kernel: int, stride: int) -> str:
    window = f"kernel = {kernel}, stride = {stride}, padding = {kernel // 2}"
    return f'{{ kind = "conv", outputs = {outputs}, {window}, weight_bits = 4, activation_bits = 4 }}'


def block(outputs: int, stride: int) -> str:
    """Two convolutions, and beside them the input, or, where they step over pixels, a third."""
    body = f"{conv(outputs, 3, stride)}, {conv(outputs, 3, 1)}"
    shortcut = f", shortcut = {conv(outputs, 1, stride)}" if stride > 1 else ""
    return f'    {{ kind = "residual", activation_bits = 4, body = [{body}]{shortcut} }},'


BLOCKS = "\n".join((block(16, 1), block(32, 2), block(64, 2)))


@pytest.fixture
def compiled(tmp_path: Path) -> QuantizedArtefacts:
    """The folder that stage `compile` leaves of an untrained student, with what its rungs need."""
    file, work, inputs = tmp_path / "build.toml", tmp_path / "work", tmp_path / "inputs"
    file.write_text(BUILD.format(blocks=BLOCKS))
    build = config.load(file)
    topology = build.student.topology(SHAPE, {})
    assessed = assess(topology, build)
    assert assessed.fits
    network = freeze(random_student(1, topology))
    for folder in (work, inputs / "data", inputs / "size", inputs / "export"):
        folder.mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *SHAPE), dtype=np.uint8)
    split = Split(frames.reshape(FRAMES, -1), np.arange(FRAMES) % 10)
    data.save(Dataset("noise", 10, SHAPE, split, split, split), inputs / "data" / "data.safetensors")
    Sized({}, assessed.folds, {}).save(inputs / "size" / "sized.json")
    save_model(qonnx_model(network), inputs / "export" / "student.qonnx.onnx")
    manifests: Any = {"data": None, "size": None, "export": None}
    context = StageContext(build, work, tmp_path / "partial", None, inputs, manifests)  # type: ignore[arg-type]
    assert compile_core(context) == {"interval_bound_cycles": assessed.estimate.interval}
    shutil.copy(inputs / "data" / "data.safetensors", work)
    save_model(golden_model(network), work / "golden.onnx")
    integer.save(network, work / "frozen.safetensors")
    return QuantizedArtefacts(build, work, tmp_path / "scratch", tmp_path / "log", lambda *_: None)


@pytest.mark.slow
def test_resnet_8(compiled: QuantizedArtefacts) -> None:
    """MLPerf Tiny's network for CIFAR-10: the `rtl` rung, on frames whose logits differ, and every tap."""
    layers = LAYERS.load(compiled.folder)
    origins = [layer.origin for layer in layers if layer.kind in ("MatrixVector", "GlobalSum")]
    places = (0, 1, 2, 4, 5, 6, 8, 9, 10)
    assert origins == [*(f"accumulator{place}" for place in places), "a12", "logits"]
    thresholds, x = [layer for layer in layers if layer.kind == "Threshold"], compiled.x[:2]
    graph = read(load_hardware(compiled.folder / "hardware.onnx"))
    names = [layer.name for layer in graph.layers]
    values = dict(zip(names, graph.values(x.astype(np.int64)), strict=True))
    for layer, wanted in zip(thresholds, compiled.tapped(x, thresholds), strict=True):
        np.testing.assert_array_equal(values[layer.name], wanted)
    found = hardware.rtl(compiled)
    assert found.passed, found.first_mismatch
    assert found.samples == FRAMES
    assert len(np.unique(compiled.expected, axis=0)) == FRAMES
