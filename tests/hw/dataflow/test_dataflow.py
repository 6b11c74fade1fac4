"""The dataflow form's arithmetic and its bound, against numpy written another way."""

from dataclasses import replace

import numpy as np
import pytest

from common.errors import LoweringError
from hw.dataflow import (
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    Fifo,
    Fork,
    GlobalSum,
    Integers,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    WidthConverter,
    Window,
)
from hw.dataflow.fold import Fold
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
    np.testing.assert_array_equal(given["dwc_mv1"], activations[0])


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


@pytest.mark.parametrize(
    ("pe", "simd", "message"),
    [
        (3, 1, "m: PE 3 does not divide 4; give a divisor"),
        (1, 5, "m: SIMD 5 does not divide 6"),
        (8, 1, "PE 8"),
    ],
)
def test_folds_must_divide(pe: int, simd: int, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        MatrixVector("m", np.zeros((4, 6), np.int64), 4, pe, simd)


def dense(name: str, outputs: int, inputs: int, pe: int, simd: int) -> MatrixVector:
    return MatrixVector(name, np.ones((outputs, inputs), np.int64), 8, pe, simd)


def test_lanes_must_meet() -> None:
    message = "second: takes 4 values a frame in words of 4 lanes, first gives 4 in words of 2"
    with pytest.raises(LoweringError, match=message):
        DataflowGraph((6,), 8, (dense("first", 4, 6, 2, 1), dense("second", 2, 4, 1, 4)))


def test_names_must_differ() -> None:
    """Costs, taps and resources of layers go by their names."""
    with pytest.raises(LoweringError, match="several layers are called a; "):
        DataflowGraph((6,), 8, (dense("a", 4, 6, 1, 1), dense("b", 4, 4, 1, 1), dense("a", 2, 4, 1, 1)))


@pytest.mark.parametrize(
    ("layers", "sources", "message"),
    [
        ([dense("a", 4, 8, 1, 1)], [(-1,)], "a: takes 8 values a frame .* the input gives 6"),
        ([dense("a", 4, 6, 1, 1)], [(0,)], "a: takes from layer 0, which does not come before it"),
        ([dense("a", 4, 6, 1, 1)], [(-1, -1)], "a: takes from 2 layers"),
        (
            [dense("a", 4, 6, 1, 1), dense("b", 4, 4, 1, 1), dense("c", 4, 4, 1, 1)],
            [(-1,), (0,), (0,)],
            "a: 2 layers take from it",
        ),
        ([dense("a", 4, 6, 1, 1), dense("b", 4, 6, 1, 1)], [(-1,), (-1,)], "a: 0 layers take from it"),
    ],
)
def test_links_must_fit(layers: list[MatrixVector], sources: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        DataflowGraph((6,), 8, tuple(layers), tuple(sources))


def frames_of(seed: int, *shape: int) -> Integers:
    return np.random.default_rng(seed).integers(0, 256, (3, *shape))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 2, 1), (2, 1, 0, 3)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 4)])
def test_window_pixel_by_pixel(
    kernel: tuple[int, int], padding: tuple[int, int, int, int], stride: int
) -> None:
    window = Window("w", (5, 4, 3), kernel, 1, (stride, 1), padding, pad_value=9)
    x = frames_of(0, 5, 4, 3)
    given = window.execute(x.reshape(3, -1)).reshape(3, *window.o_shape[:2], *kernel, 3)
    for row, column, down, right in np.ndindex(given.shape[1:5]):
        y, place = row * stride - padding[0] + down, column - padding[1] + right
        inside = 0 <= y < 5 and 0 <= place < 4
        expected = x[:, y, place] if inside else np.full((3, 3), 9)
        np.testing.assert_array_equal(given[:, row, column, down, right], expected)


def test_depthwise_window_groups_channels() -> None:
    plain = Window("w", (3, 3, 4), (2, 2), 2)
    x = frames_of(1, 36)
    given = replace(plain, depthwise=True).execute(x).reshape(3, 4, 2, 4, 2)
    expected = plain.execute(x).reshape(3, 4, 4, 2, 2)  # pixel, tap, group, channel
    np.testing.assert_array_equal(given, expected.transpose(0, 1, 3, 2, 4))


def test_order_of_a_window_of_columns() -> None:
    window = Window("w", (4, 4, 4), (3, 2), 2, rows=3)
    assert sorted(window.order) == list(range(24))
    # The first word: the first two channels of the kernel's first column, from top to bottom.
    assert window.order[:6].tolist() == [0, 1, 8, 9, 16, 17]
    assert replace(window, rows=1).order.tolist() == list(range(24))


def test_cycles_of_windows() -> None:
    window = Window("w", (6, 6, 4), (3, 3), 2)
    assert window.cycles == 16 * 9 * 2
    assert replace(window, rows=3).cycles == 16 * 3 * 2
    assert replace(window, repeats=5).cycles == 16 * 9 * 2 * 5
    assert replace(window, stride=(4, 4)).cycles == 6 * 6 * 2  # the input has more words


def test_pools_and_sums() -> None:
    x = frames_of(2, 5, 7, 4)
    pool = MaxPool("p", (5, 7, 4), (2, 3), 2)
    expected = x[:, :4, :6].reshape(3, 2, 2, 2, 3, 4).max(axis=(2, 4))
    np.testing.assert_array_equal(pool.execute(x.reshape(3, -1)), expected.reshape(3, -1))
    window = Window("w", (5, 7, 4), (2, 3), 2, (2, 3), depthwise=True)
    reduce = Reduce("r", 4, 6, window.vectors, 2)
    np.testing.assert_array_equal(reduce.execute(window.execute(x.reshape(3, -1))), expected.reshape(3, -1))
    total = GlobalSum("s", 35, 4, 8, 2)
    np.testing.assert_array_equal(total.execute(x.reshape(3, -1)), x.sum(axis=(1, 2)))
    assert (total.bits, total.cycles) == (14, 70)


def test_depthwise_is_a_matrix_of_one_block_a_channel() -> None:
    rng = np.random.default_rng(3)
    weights, bias = rng.integers(-7, 8, (4, 9)), rng.integers(-9, 9, 4)
    x = frames_of(4, 36)
    window = Window("w", (3, 3, 4), (3, 3), 2, depthwise=True)
    depthwise = Depthwise("d", weights, 8, 2, 3, bias=bias)
    expected = np.einsum("ntc,ct->nc", x.reshape(3, 9, 4), weights) + bias
    np.testing.assert_array_equal(depthwise.execute(window.execute(x)), expected)
    assert depthwise.cycles == 2 * 3


def test_two_branches() -> None:
    layers = (Fork("f", 6, 2), Threshold("t", np.full((6, 1), 100), 2), Add("a", 6, 2))
    graph = DataflowGraph((6,), 8, layers, ((-1,), (0,), (1, 0)))
    x = frames_of(5, 6)
    np.testing.assert_array_equal(graph.execute(x), x + (x >= 100))
    assert graph.consumers(0) == [1, 2] and graph.interval_bound == 3
