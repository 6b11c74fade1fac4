"""The reference written from a dataflow graph, in onnxruntime, against the graph's own arithmetic."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest

from common.errors import LoweringError
from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    GlobalSum,
    Integers,
    Layer,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    Window,
)
from hw.dataflow.connect import connect
from hw.dataflow.golden import golden_from_graph
from tests.hw.graphs import random_frames, random_graph

RNG = np.random.default_rng(0)


def weights(outputs: int, inputs: int, top: int = 7) -> Integers:
    return RNG.integers(-top, top + 1, (outputs, inputs))


def levels(channels: int, steps: int = 3, spread: int = 900) -> Integers:
    return np.sort(RNG.integers(-spread, spread, (channels, steps)), axis=1)


CONVOLUTION: list[Layer] = [
    Window("window", (6, 5, 2), (3, 2), 1, (2, 1), (1, 0, 1, 1), pad_value=3),
    MatrixVector("conv", weights(4, 12), 8, 2, 6, 15, bias=np.array([5, 0, -7, 2])),
    Threshold("levels", levels(4), 2, 15),
    Window("pairs", (3, 5, 4), (2, 2), 2, (1, 2), depthwise=True),
    Reduce("greatest", 4, 4, 4, 2),
    MatrixVector("dense", weights(3, 16, 300), 2, 1, 4),
]
SEPARABLE: list[Layer] = [
    Window("window", (4, 4, 4), (3, 3), 2, (1, 1), (1, 1, 1, 1), depthwise=True),
    Depthwise("depthwise", weights(4, 9), 8, 2, 3, 16, bias=np.arange(4)),
    Threshold("levels", levels(4, 7), 4, 16),
    MaxPool("pool", (4, 4, 4), (3, 2), 2),
    GlobalSum("sum", 2, 4, 3, 1),
    MatrixVector("dense", weights(5, 4), 4, 5, 1),
]
RESIDUAL: list[Layer] = [
    Threshold("entry", levels(2, 15, 255), 1, 6),
    MatrixVector("body", weights(2, 2), 4, 1, 2, 6),
    Threshold("inner", levels(2, 15, 60), 1, 6),
    Add("add", 12, 2),
    MatrixVector("dense", weights(3, 12), 5, 1, 1),
    ArgMax("label", 3, 1),
]
RESIDUAL_SOURCES = [(INPUT,), (0,), (1,), (0, 2), (3,), (4,)]


def run(graph: DataflowGraph, frames: Integers, *, taps: bool = False) -> dict[str, Integers]:
    model = golden_from_graph(graph, taps=taps)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feed = {"x": frames.reshape(-1, *graph.shape).astype(np.uint8)}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.parametrize(
    ("shape", "layers", "sources"),
    [((6, 5, 2), CONVOLUTION, None), ((4, 4, 4), SEPARABLE, None), ((3, 2, 2), RESIDUAL, RESIDUAL_SOURCES)],
    ids=["convolution", "separable", "residual"],
)
def test_equals_the_graph(
    shape: tuple[int, ...], layers: list[Layer], sources: Sequence[tuple[int, ...]] | None
) -> None:
    graph = connect(shape, 8, layers, sources)
    frames = RNG.integers(0, 256, (40, graph.inputs))
    frames[0], frames[1] = 0, 255
    found, values = run(graph, frames, taps=True), graph.values(frames)
    if sources is None:
        np.testing.assert_array_equal(found["logits"], values[-1])
        np.testing.assert_array_equal(found["label"], values[-1].argmax(axis=1))
    else:
        assert "logits" not in found
        np.testing.assert_array_equal(found["label"], values[-1][:, 0])
    counts = {
        f"tap_{layer.name}": given
        for given, layer in zip(values, graph.layers, strict=True)
        if isinstance(layer, Threshold)
    }
    assert found.keys() == {*counts, "label"} | ({"logits"} if sources is None else set())
    for name, given in counts.items():
        np.testing.assert_array_equal(found[name], given)


@pytest.mark.parametrize("seed", range(6))
def test_equals_graphs_at_random(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    frames = random_frames(rng, 20, graph.inputs)
    found, expected = run(graph, frames.astype(np.int64)), graph.execute(frames.astype(np.int64))
    given = found["logits"] if "logits" in found else found["label"][:, None]
    np.testing.assert_array_equal(given, expected)


def test_label_is_the_first_of_equals() -> None:
    graph = connect((2,), 8, [MatrixVector("dense", np.array([[0, 1], [1, 1], [1, 1]]), 8, 1, 1)])
    assert run(graph, np.array([[4, 9], [0, 9]]))["label"].tolist() == [1, 0]


def test_standard_integer_operators_alone() -> None:
    model = golden_from_graph(connect((6, 5, 2), 8, CONVOLUTION))
    assert [opset.domain for opset in model.opset_import] == [""]
    kinds = {initializer.data_type for initializer in model.graph.initializer}
    assert kinds <= {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT8}
    assert (
        model.SerializeToString() == golden_from_graph(connect((6, 5, 2), 8, CONVOLUTION)).SerializeToString()
    )


def test_figures_beyond_32_bits() -> None:
    graph = connect((1,), 8, [MatrixVector("dense", np.array([[1]]), 8, 1, 1, bias=np.array([1 << 31]))])
    with pytest.raises(LoweringError, match="dense: figures beyond 32 bits"):
        golden_from_graph(graph)
