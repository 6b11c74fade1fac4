"""Imported networks through FINN: lowered bit for bit, and how far from what they were."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hw.dataflow import ArgMax, DataflowGraph
from hw.dataflow.golden import golden_from_graph
from hw.finn.execution import execute, execute_imported, integers_of
from hw.finn.graph import kept_output
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.imported import ByteValues
from hw.imported.difference import Difference, between
from tests.hw.foreign import Foreign

GIVEN = ByteValues(1 / 64, -2.0)
FOLDING = Folding(target_cycles=2000)


def check(
    path: Path, *, given: ByteValues = GIVEN, label: bool = False, count: int = 30
) -> tuple[DataflowGraph, Difference]:
    """FINN's graph, the dataflow form and the reference of it in onnxruntime give the same."""
    log = path.with_suffix(".log")
    model = lower(path, folding=FOLDING, label=label, log=log, values=given)
    graph = read(model)
    frames = np.random.default_rng(0).integers(0, 256, (count, graph.inputs), dtype=np.uint8)
    frames[0], frames[1] = 0, 255
    given_by_graph = graph.execute(frames.astype(np.int64))
    np.testing.assert_array_equal(execute(model, frames[:4], log), given_by_graph[:4])
    session = onnxruntime.InferenceSession(golden_from_graph(graph).SerializeToString())
    name = "label" if label else "logits"
    (reference,) = session.run([name], {"x": frames.reshape(-1, *graph.shape)})
    np.testing.assert_array_equal(reference.reshape(count, -1), given_by_graph)
    made = integers_of(path, values=given, log=log)
    taken = made.layout.from_core(frames.reshape(-1, *graph.shape))
    np.testing.assert_array_equal(made.layout.to_core(taken).reshape(count, -1), frames)
    outputs = execute_imported(path, taken, values=given, log=log)
    if label:
        np.testing.assert_array_equal(given_by_graph[:, 0], outputs.argmax(axis=1))
        graph = replace(graph, layers=graph.layers[:-1], sources=graph.links[:-1])
    found = between(outputs, graph.execute(frames.astype(np.int64)), kept_output(model))
    assert found.apart == 0
    return read(model), found


def mlp(network: Foreign) -> None:
    """Signed, narrow and unsigned activations; an offset for each class, a softmax."""
    x = network.relu(network.norm(network.dense(network.quant("input", 4, 0.13), 12, 8), 8, 2), 3, 0.41)
    x = network.quant(network.norm(network.dense(x, 8, 6), 6), 3, 0.37, narrow=True)
    x = network.dense(x, 6, 4, bias=network.rng.normal(size=4))
    network.node("Softmax", [x], axis=1)


def convolutions(network: Foreign) -> None:
    """No quantizer at the input, scales and biases of each channel, padding of signed values."""
    x = network.relu(network.norm(network.conv("input", 3, 4, (3, 3), each=True, bias=True), 4, 2), 4, 0.3)
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = network.quant(network.norm(network.conv(x, 4, 4, (3, 3), pads=[1] * 4), 4, 2), 3, 0.5)
    x = network.quant(network.norm(network.conv(x, 4, 6, (3, 3), pads=[1] * 4), 6, 2), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 54, 5)


def separable(network: Foreign) -> None:
    x = network.quant("input", 8, 1 / 128)
    x = network.relu(network.norm(network.conv(x, 3, 4, (3, 3), pads=[1] * 4, strides=[2, 2]), 4, 2), 4, 0.3)
    x = network.conv(x, 4, 4, (3, 3), pads=[1] * 4, depthwise=True, each=True)
    x = network.relu(network.norm(x, 4, 2), 4, 0.3)
    x = network.relu(network.norm(network.conv(x, 4, 6, (1, 1)), 6, 2), 4, 0.3)
    network.dense(network.node("Flatten", [network.node("GlobalAveragePool", [x])], axis=1), 6, 5)


def series(network: Foreign) -> None:
    x = network.quant("input", 8, 1 / 128)
    x = network.relu(network.norm(network.conv(x, 3, 4, (5,), pads=[2, 2]), 4, 2), 4, 0.3)
    x = network.node("MaxPool", [x], kernel_shape=[2], strides=[2])
    x = network.relu(network.norm(network.conv(x, 4, 4, (3,)), 4, 2), 4, 0.3)
    network.dense(network.node("Flatten", [x], axis=1), 24, 5)


def residual(network: Foreign) -> None:
    x = network.quant("input", 8, 1 / 128)
    x = network.quant(network.norm(network.conv(x, 2, 4, (3, 3), pads=[1] * 4), 4, 2), 4, 0.3)
    y = network.quant(network.norm(network.conv(x, 4, 4, (3, 3), pads=[1] * 4), 4, 2), 4, 0.3)
    x = network.relu(network.node("Add", [x, y]), 4, 0.45)
    network.dense(network.node("Flatten", [x], axis=1), 144, 5)


def bipolar(network: Foreign) -> None:
    """Products of -1 and 1, and of -1 and 1 with wider weights; max pooling of -1 and 1."""
    x = network.quant("input", 8, 1 / 128)
    x = network.bipolar(network.norm(network.conv(x, 1, 4, (3, 3), 1), 4, 2))
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = network.bipolar(network.norm(network.conv(x, 4, 4, (2, 2), 3), 4, 2))
    x = network.node("Flatten", [x], axis=1)
    x = network.bipolar(network.norm(network.dense(x, 16, 6, 1), 6, 2))
    network.dense(x, 6, 5, 4)


@pytest.mark.parametrize(
    ("shape", "make", "label"),
    [
        ((12,), mlp, False),
        ((12,), mlp, True),
        ((3, 8, 8), convolutions, False),
        pytest.param((3, 8, 8), separable, False, marks=pytest.mark.slow),
        ((3, 16), series, True),
        pytest.param((2, 6, 6), residual, False, marks=pytest.mark.slow),
        ((1, 8, 8), bipolar, False),
    ],
)
def test_lowered(
    tmp_path: Path, shape: tuple[int, ...], make: Callable[[Foreign], None], label: bool
) -> None:
    network = Foreign(shape)
    make(network)
    graph, found = check(network.save(tmp_path / "foreign.onnx"), label=label)
    assert found.agreement == 1 and found.frames == 30
    assert isinstance(graph.layers[-1], ArgMax) == label
    # Offsets of classes are rounded to whole steps; all else is exact up to float32.
    assert found.largest_error <= (0.5 * found.scale if make is mlp else 1e-5)


@pytest.mark.parametrize(
    ("bits", "signed"), [(1, True), (4, True), (4, False)], ids=["bipolar", "signed", "plain"]
)
def test_activations_at_the_end_count_from_zero(tmp_path: Path, bits: int, signed: bool) -> None:
    network = Foreign((6,))
    x = network.relu(network.norm(network.dense(network.quant("input", 4, 0.13), 6, 8), 8, 2), 3, 0.41)
    x = network.norm(network.dense(x, 8, 3), 3, 2)
    _ = network.bipolar(x) if bits == 1 else network.quant(x, bits, 0.37, signed=signed)
    graph, found = check(network.save(tmp_path / "foreign.onnx"))
    assert graph.execute(np.arange(600).reshape(-1, 6) % 256).min() >= 0
    assert found.largest_error < 1e-5


@pytest.mark.parametrize(
    "given",
    [ByteValues(), ByteValues(1 / 255), ByteValues((0.01, 0.02, 0.03), (0.0, -1.0, 1.0))],
    ids=["bytes", "scale", "of each channel"],
)
def test_what_a_byte_stands_for(tmp_path: Path, given: ByteValues) -> None:
    """Thresholds take it up, behind the first layer or those of a quantizer at the input."""
    network = Foreign((3, 4, 4))
    x = network.quant("input", 5, 0.1 if given.scale != 1 else 14.0)
    x = network.quant(network.conv(x, 3, 4, (3, 3)), 3, 0.4 if given.scale != 1 else 50.0)
    network.dense(network.node("Flatten", [x], axis=1), 16, 5)
    _, found = check(network.save(tmp_path / "foreign.onnx"), given=given)
    assert found.agreement == 1


def test_flat_picture_keeps_its_order(tmp_path: Path) -> None:
    """A network that flattens at once takes its frames as it flattens: channels first."""
    network = Foreign((2, 3, 3))
    x = network.node("Flatten", [network.quant("input", 4, 0.2)], axis=1)
    network.dense(network.relu(network.dense(x, 18, 6), 3, 0.3), 6, 3)
    graph, found = check(network.save(tmp_path / "foreign.onnx"))
    assert graph.shape == (18,) and found.agreement == 1


# Networks of others


def bnn_pynq(name: str, path: Path) -> Path:
    """One of Brevitas's examples (`brevitas_examples.bnn_pynq`), untrained, with norms that do something."""
    import torch
    from brevitas.export import export_qonnx
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(0)
    network, _ = model_with_cfg(name, pretrained=False)
    shape = (3, 32, 32) if name.startswith("cnv") else (1, 28, 28)
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(16, *shape))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.weight.uniform_(-1.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    export_qonnx(network.eval(), torch.rand(1, *shape), export_path=str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tfc_1w1a", "tfc_1w2a", "tfc_2w2a"])
def test_fully_connected_examples_of_brevitas(tmp_path: Path, name: str) -> None:
    graph, found = check(bnn_pynq(name, tmp_path / f"{name}.onnx"), given=ByteValues(1 / 255))
    assert graph.shape == (784,)
    assert found.agreement == 1 and found.largest_error < 1e-5
