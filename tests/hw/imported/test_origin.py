"""Layers keep their origin through FINN: folds and references reach their own, whatever FINN's order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hw.dataflow import Depthwise, GlobalSum, MatrixVector, Threshold
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from hw.finn.reader import joined, read_layers
from hw.imported import ByteValues
from models.export import golden_model, qonnx_model, save_model
from models.students.integer import Add, IntegerNetwork, MaxPool
from tests.hw.foreign import Foreign
from tests.hw.networks import divisors, random_frames
from tests.models.networks import random_network, random_residuals, with_twins

FRAMES = 12


def random_folds(shapes: Sequence[tuple[int, int]], rng: np.random.Generator) -> tuple[Fold, ...]:
    """For layers of so many inputs and outputs; those of one shape differ, as far as they can."""
    chosen: list[tuple[tuple[int, int], Fold]] = []
    for inputs, outputs in shapes:
        pairs = [Fold(pe, simd) for pe in divisors(outputs) for simd in divisors(inputs)]
        left = [fold for fold in pairs if ((inputs, outputs), fold) not in chosen] or pairs
        chosen.append(((inputs, outputs), left[int(rng.integers(len(left)))]))
    return tuple(fold for _, fold in chosen)


def check(network: IntegerNetwork, folds: Sequence[Fold], work: Path) -> None:
    """Every layer of the hardware has weights and fold of its own, and gives what its own layer gives."""
    save_model(qonnx_model(network), work / "student.qonnx.onnx")
    model = lower(
        work / "student.qonnx.onnx", folding=Folding(folds=tuple(folds)), label=False, log=work / "finn.log"
    )
    reading = read_layers(model)
    graph, frames = joined(reading), random_frames(FRAMES, network.inputs)
    folded = [
        place for place, each in enumerate(network.layers) if not isinstance(each.operation, Add | MaxPool)
    ]
    places = {tensor_of(network, place): place for place in folded}
    fold_of, left = dict(zip(folded, folds, strict=True)), set(folded)
    for layer in reading.layers:
        if not isinstance(layer, MatrixVector | Depthwise | GlobalSum):
            continue
        place = places[reading.origins[layer.name]]
        left.remove(place)
        if isinstance(layer, GlobalSum):
            assert layer.lanes == fold_of[place].pe
            continue
        assert Fold(layer.pe, layer.simd) == fold_of[place]
        if isinstance(layer, MatrixVector):
            weights = network.layers[place].operation.weights  # type: ignore[union-attr]
            np.testing.assert_array_equal(layer.weights, weights.reshape(len(weights), -1))
    assert not left
    values = graph.values(frames.astype(np.int64))
    np.testing.assert_array_equal(values[-1], network.forward(frames))
    wanted = taps(network, frames)
    for layer, given in zip(graph.layers, values, strict=True):
        if isinstance(layer, Threshold):
            np.testing.assert_array_equal(given, wanted.pop(f"tap_{reading.origins[layer.name]}"))
    assert not wanted


def tensor_of(network: IntegerNetwork, place: int) -> str:
    """What the exported file calls the sums of a layer."""
    if place == len(network.layers) - 1:
        return "logits"
    return f"accumulator{place}" if network.layers[place].thresholds is not None else f"a{place}"


def taps(network: IntegerNetwork, frames: np.ndarray) -> dict[str, np.ndarray]:
    model = golden_model(network, taps=True).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs() if each.name.startswith("tap_")]
    return dict(zip(names, session.run(names, {"x": frames}), strict=True))


def check_seed(seed: int, work: Path, *, twins: bool) -> None:
    rng = np.random.default_rng(seed)
    topology = random_residuals(rng)
    network = random_network(seed, topology)
    folds = random_folds([step.matrix for step in topology.steps if step.matrix], rng)
    check(with_twins(network) if twins else network, folds, work)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "twins"), [(0, False), (1, True), (2, False), (3, True)])
def test_strided_residual_blocks(tmp_path: Path, seed: int, twins: bool) -> None:
    check_seed(seed, tmp_path, twins=twins)


@pytest.mark.slow
def test_folds_are_in_the_order_of_an_imported_file(tmp_path: Path) -> None:
    """Its first branch is longer than the second; an average pool, which has a fold, is between layers."""
    network = Foreign((2, 6, 6))
    padded = {"kernel": (3, 3), "pads": [1] * 4}
    made = [network.conv(network.quant("input", 8, 1 / 128), 2, 4, **padded)]
    x = network.relu(network.norm(made[-1], 4, 2), 4, 0.3)
    y = x
    for scale in (0.4, 0.35, 0.3):
        made.append(network.conv(y, 4, 4, **padded))
        y = network.quant(network.norm(made[-1], 4, 2), 4, scale)
    made.append(network.conv(x, 4, 4, **padded))
    x = network.quant(network.norm(made[-1], 4, 2), 4, 0.3)
    x = network.relu(network.node("Add", [x, y]), 4, 0.45)
    made.append(network.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2]))
    x = network.relu(made[-1], 3, 0.5)
    made.append(network.dense(network.node("Flatten", [x], axis=1), 36, 5, bias=np.arange(5) / 9))
    shapes = [(18, 4), *[(36, 4)] * 4, (4, 4), (36, 5)]
    folds = random_folds(shapes, np.random.default_rng(0))
    model = lower(
        network.save(tmp_path / "foreign.onnx"),
        folding=Folding(folds=folds),
        label=False,
        log=tmp_path / "finn.log",
        values=ByteValues(1 / 64, -2.0),
    )
    reading = read_layers(model)
    found = {
        reading.origins[layer.name]: Fold(layer.pe, layer.simd)
        for layer in reading.layers
        if isinstance(layer, MatrixVector | Depthwise)
    }
    assert found == dict(zip(made, folds, strict=True))


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_strided_residual_blocks(tmp_path: Path, seed: int) -> None:
    check_seed(seed, tmp_path, twins=seed % 2 == 0)
