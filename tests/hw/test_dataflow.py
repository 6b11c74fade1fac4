"""The dataflow form's arithmetic and its bound, against numpy written another way."""

import numpy as np
import pytest

from hw.dataflow import ArgMax, DataflowGraph, Fifo, MatrixVector, Threshold, WidthConverter
from hw.lowering import Fold
from pipeline.errors import LoweringError
from tests.hw.networks import graph_of, random_folds, random_frames, random_network


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_integer_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 13, int(rng.integers(2, 5))).tolist()
    network = random_network(
        widths, weight_bits=int(rng.integers(2, 9)), activation_bits=int(rng.integers(1, 5)), seed=seed
    )
    frames = random_frames(50, widths[0], seed)
    folds = random_folds(network, rng)
    np.testing.assert_array_equal(graph_of(network, folds).execute(frames), network.forward(frames))
    labels = graph_of(network, folds, label=True).execute(frames)
    np.testing.assert_array_equal(labels[:, 0], network.forward(frames).argmax(1))


def test_values_of_every_layer() -> None:
    network = random_network([8, 6, 5, 4])
    graph = graph_of(network, [Fold(2, 4), Fold(1, 1), Fold(4, 5)])
    frames = random_frames(20, 8)
    given = dict(zip([layer.name for layer in graph.layers], graph.values(frames), strict=True))
    *activations, logits = network.intermediates(frames)
    np.testing.assert_array_equal(given["threshold0"], activations[0])
    np.testing.assert_array_equal(given["threshold1"], activations[1])
    np.testing.assert_array_equal(given["mv2"], logits)
    np.testing.assert_array_equal(given["fifo1"], activations[0])


def test_frames_of_any_shape() -> None:
    network = random_network([8, 4])
    graph = graph_of(network, [Fold(1, 1)])
    frames = random_frames(5, 8)
    np.testing.assert_array_equal(graph.execute(frames.reshape(5, 2, 2, 2)), graph.execute(frames))


@pytest.mark.parametrize(
    ("folds", "cycles"),
    [
        ([(1, 1), (1, 1)], 96),  # 12 * 8
        ([(4, 6), (1, 1)], 32),  # 8 * 4
        ([(8, 12), (4, 8)], 1),
        ([(8, 12), (4, 1)], 8),  # one synapse a cycle
        ([(8, 1), (4, 8)], 12),  # the input stream
        ([(1, 12), (4, 8)], 8),  # one neuron a cycle
    ],
)
def test_interval_bound(folds: list[tuple[int, int]], cycles: int) -> None:
    graph = graph_of(random_network([12, 8, 4]), [Fold(*fold) for fold in folds])
    assert graph.interval_bound == cycles


def test_bound_of_streams() -> None:
    assert WidthConverter("c", 12, 4, 3).cycles == 4
    assert WidthConverter("c", 12, 2, 6).cycles == 6
    assert Fifo("f", 12, 3, 9).cycles == 4
    assert ArgMax("a", 12, 4).cycles == 3
    assert Threshold("t", np.zeros((12, 7), np.int64), 2).cycles == 6


def test_thresholds_are_reached_by_equality() -> None:
    threshold = Threshold("t", np.array([[-2, 0, 0]]), 1)
    assert threshold.bits == 2
    np.testing.assert_array_equal(
        threshold.execute(np.array([[-3], [-2], [-1], [0], [9]])).T, [[0, 1, 1, 3, 3]]
    )


def test_first_of_equal_values() -> None:
    assert ArgMax("a", 4, 1).execute(np.array([[1, 5, 5, 0], [-3, -3, -9, -3]])).tolist() == [[1], [0]]


@pytest.mark.parametrize(("pe", "simd"), [(3, 1), (1, 5), (8, 1)])
def test_folds_must_divide(pe: int, simd: int) -> None:
    with pytest.raises(
        LoweringError, match=rf"m: PE {pe} must divide its 4 outputs, SIMD {simd} its 6 inputs"
    ):
        MatrixVector("m", np.zeros((4, 6), np.int64), 4, pe, simd)


def test_lanes_must_meet() -> None:
    first = MatrixVector("first", np.zeros((4, 6), np.int64), 8, 2, 1)
    second = MatrixVector("second", np.zeros((2, 4), np.int64), 8, 1, 4)
    with pytest.raises(LoweringError, match="second: takes words of 4 lanes, first gives 2"):
        DataflowGraph(6, 8, (first, second))
