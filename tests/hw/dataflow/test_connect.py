"""What `connect` puts between layers, and the schedule that tells how many words wait where."""

import numpy as np
import pytest

from common.errors import LoweringError
from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    Fifo,
    Fork,
    GlobalSum,
    Layer,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    WidthConverter,
    Window,
    connect,
)
from hw.dataflow.schedule import fifo_depths, work_of
from tests.hw.graphs import random_frames, random_graph


def dense(name: str, outputs: int, inputs: int, pe: int, simd: int, vectors: int = 1) -> MatrixVector:
    return MatrixVector(name, np.ones((outputs, inputs), np.int64), 8, pe, simd, vectors)


def threshold(name: str, channels: int, pe: int, vectors: int = 1) -> Threshold:
    return Threshold(name, np.full((channels, 1), 9), pe, vectors)


def kinds(graph: DataflowGraph) -> list[type[Layer]]:
    return [type(layer) for layer in graph.layers]


def find(graph: DataflowGraph, name: str) -> Layer:
    return next(layer for layer in graph.layers if layer.name == name)


# Words that do not meet


def test_words_that_meet_need_nothing() -> None:
    graph = connect((4,), 8, [dense("a", 4, 4, 2, 4), threshold("b", 4, 2), dense("c", 2, 4, 2, 2)])
    assert kinds(graph) == [MatrixVector, Threshold, MatrixVector]


def test_converter_between_unlike_words() -> None:
    graph = connect((4,), 8, [dense("a", 6, 4, 2, 4), dense("c", 2, 6, 2, 3)])
    converter = find(graph, "dwc_c")
    assert isinstance(converter, WidthConverter)
    assert (converter.elements, converter.i_lanes, converter.o_lanes) == (6, 2, 3)


def test_layers_that_do_not_fit() -> None:
    with pytest.raises(LoweringError, match=r"dwc_c: .* 7 values|c: takes 7 values a frame .* 6"):
        connect((4,), 8, [dense("a", 6, 4, 2, 4), dense("c", 2, 7, 2, 7)])


@pytest.mark.parametrize("source", [1, 5])
def test_source_that_does_not_come_before(source: int) -> None:
    with pytest.raises(LoweringError, match=f"c: takes from layer {source}, which does not come before it"):
        connect((4,), 8, [dense("a", 4, 4, 2, 4), dense("c", 2, 4, 2, 4)], [(INPUT,), (source,)])


def test_layer_that_nobody_takes_from() -> None:
    with pytest.raises(LoweringError, match="a: 0 layers take from it"):
        connect((4,), 8, [dense("a", 4, 4, 2, 4), dense("c", 2, 4, 2, 4)], [(INPUT,), (INPUT,)])


# Forks


def diamond(sources: list[tuple[int, ...]], *extra: Layer) -> DataflowGraph:
    branches = [threshold("left", 4, 2), threshold("right", 4, 1), Add("add", 4, 4)]
    return connect((4,), 8, [*extra, *branches], sources)


def test_fork_of_the_input() -> None:
    graph = diamond([(INPUT,), (INPUT,), (0, 1)])
    fork = graph.layers[0]
    assert isinstance(fork, Fork) and fork.name == "fork_input" and fork.lanes == 2
    assert sum(kind is Fork for kind in kinds(graph)) == 1
    assert {"dwc_right", "dwc_add_left", "dwc_add_right"} <= {layer.name for layer in graph.layers}
    x = np.array([[8, 9, 200, 0]])
    np.testing.assert_array_equal(graph.execute(x), [[0, 2, 2, 0]])


def test_fork_that_is_given() -> None:
    graph = diamond([(INPUT,), (0,), (0,), (1, 2)], Fork("mine", 4, 2))
    assert [layer.name for layer in graph.layers if isinstance(layer, Fork)] == ["mine"]


def test_three_layers_take_from_one() -> None:
    layers = [dense("a", 4, 4, 2, 4), *(threshold(f"b{k}", 4, 2) for k in range(3))]
    layers += [Add("c", 4, 2), Add("d", 4, 2)]
    graph = connect((4,), 8, layers, [(INPUT,), (0,), (0,), (0,), (1, 2), (4, 3)])
    assert [layer.name for layer in graph.layers if isinstance(layer, Fork)] == ["fork_a", "fork_a_1"]
    x = random_frames(np.random.default_rng(0), 9, 4)
    np.testing.assert_array_equal(graph.execute(x), 3 * (x.sum(axis=1, keepdims=True) >= 9) * np.ones(4))


# Windows


@pytest.mark.parametrize(
    ("simd", "lanes", "rows", "repeats"),
    [
        (1, 1, 1, 2),
        (2, 2, 1, 2),
        (4, 4, 1, 2),
        (3, 1, 3, 2),  # a column of one channel
        (6, 2, 3, 2),
        (12, 4, 3, 2),
        (36, 4, 3, 1),  # three columns
        (9, 1, 3, 1),  # three columns of one of four channels
    ],
)
def test_window_in_words_for_the_matrix(simd: int, lanes: int, rows: int, repeats: int) -> None:
    layers = [Window("w", (6, 6, 4), (3, 3), 1), dense("a", 4, 36, 2, simd, 16)]
    graph = connect((6, 6, 4), 8, layers)
    window = find(graph, "w")
    assert isinstance(window, Window)
    assert (window.lanes, window.rows, window.repeats) == (lanes, rows, repeats)
    assert (WidthConverter in kinds(graph)) is (window.o_lanes != simd)


def test_narrow_windows_where_the_matrix_is_slow() -> None:
    """Columns would come sooner than they are used."""
    layers = [Window("w", (6, 6, 4), (3, 3), 1), dense("a", 64, 36, 1, 18, 16)]
    window = find(connect((6, 6, 4), 8, layers), "w")
    assert isinstance(window, Window) and (window.lanes, window.rows, window.repeats) == (2, 1, 1)


def test_windows_by_groups_of_channels() -> None:
    window = Window("w", (4, 4, 6), (2, 2), 1)
    depthwise = Depthwise("d", np.ones((6, 4), np.int64), 8, 3, 2, 9)
    graph = connect((4, 4, 6), 8, [window, depthwise])
    assert kinds(graph) == [Window, WidthConverter, Depthwise]
    fitted = graph.layers[0]
    assert isinstance(fitted, Window) and fitted.depthwise and fitted.lanes == 3
    graph = connect((4, 4, 6), 8, [window, Reduce("r", 6, 4, 9, 2)])
    fitted = graph.layers[0]
    assert isinstance(fitted, Window) and fitted.depthwise and fitted.lanes == 2


# FIFOs


def fifos(graph: DataflowGraph) -> dict[str, int]:
    return {layer.name: layer.depth for layer in graph.layers if isinstance(layer, Fifo)}


@pytest.mark.parametrize(
    ("pe", "simd", "depth"),
    [
        (1, 1, 12),  # a vector beside the one in use
        (2, 2, 6),
        (1, 12, 0),  # there is room for two of these words anyway
        (4, 1, 0),  # read once: nothing is kept
    ],
)
def test_vector_is_kept_while_the_next_comes(pe: int, simd: int, depth: int) -> None:
    assert fifos(connect((12,), 8, [dense("a", 4, 12, pe, simd)])) == ({"fifo_a": depth} if depth else {})


def test_words_that_come_repeated_are_not_kept() -> None:
    layers = [Window("w", (6, 6, 4), (3, 3), 1), dense("a", 4, 36, 2, 4, 16)]
    assert not fifos(connect((6, 6, 4), 8, layers))


def shortcut(kernel: int, padding: int) -> dict[str, int]:
    """Of a picture of 8 by 8, added to its convolution."""
    body = Window("w", (8, 8, 2), (kernel, kernel), 1, padding=(padding,) * 4)
    layers = [body, dense("a", 2, 2 * kernel**2, 2, 2, 64), threshold("t", 2, 2, 64), Add("add", 128, 2)]
    return fifos(connect((8, 8, 2), 8, layers, [(INPUT,), (0,), (1,), (2, INPUT)]))


def test_shortcut_waits_for_the_rows_below() -> None:
    three, five = shortcut(3, 1)["fifo_add_1"], shortcut(5, 2)["fifo_add_1"]
    assert 8 + 1 <= three <= 8 + 6
    assert 16 + 2 <= five <= 16 + 6
    assert set(shortcut(1, 0)) <= {"fifo_add_1"}


def test_pooled_rows_wait_for_a_slow_layer() -> None:
    """A row of a pool comes in half of the time of two rows of pixels."""
    layers = [MaxPool("p", (8, 8, 2), (2, 2), 1), dense("a", 8, 2, 1, 1, 16)]
    graph = connect((8, 8, 2), 8, layers)
    assert graph.interval_bound == 16 * 16
    assert fifos(graph)["fifo_a"] >= 2


def test_converters_are_no_bottleneck() -> None:
    graph = connect((12,), 8, [dense("a", 12, 12, 12, 12), dense("c", 12, 12, 12, 12)])
    assert graph.interval_bound == 1 and not fifos(graph)


# The schedule


@pytest.mark.parametrize("seed", range(60))
def test_every_graph_is_connected_alike(seed: int) -> None:
    """Twice the same, connected again nothing more, and sources before layers."""
    graph = random_graph(np.random.default_rng(seed))
    assert random_graph(np.random.default_rng(seed)).links == graph.links
    own = (WidthConverter, Fork, Fifo)
    kept = [index for index, layer in enumerate(graph.layers) if not isinstance(layer, own)]

    def computing(source: int) -> int:
        while source != INPUT and isinstance(graph.layers[source], own):
            source = graph.links[source][0]
        return source if source == INPUT else kept.index(source)

    sources = [tuple(computing(source) for source in graph.links[index]) for index in kept]
    again = connect(graph.shape, graph.input_bits, [graph.layers[index] for index in kept], sources)
    assert [layer.name for layer in again.layers] == [layer.name for layer in graph.layers]
    assert again.links == graph.links and fifos(again) == fifos(graph)


@pytest.mark.parametrize("seed", range(60))
def test_work_is_that_of_a_frame(seed: int) -> None:
    """As many steps as cycles, every word of input freed and of output given, in order."""
    graph = random_graph(np.random.default_rng(1000 + seed))
    for layer, sources in zip(graph.layers, graph.links, strict=True):
        before = graph.layers[sources[0]] if sources[0] != INPUT else None
        repeats = before.repeats if isinstance(before, Window) else 1
        work = work_of(layer, repeats > 1)
        assert len(work.needs) <= layer.cycles
        assert len(work.frees) == repeats * layer.i_elements // layer.i_lanes
        own_repeats = layer.repeats if isinstance(layer, Window) else 1
        assert len(work.gives) == own_repeats * layer.o_elements // layer.o_lanes
        assert (np.diff(work.gives) > 0).all() and work.gives[-1] < len(work.needs)
        assert (np.diff(work.frees) >= 0).all()
        assert work.needs.max() < len(work.frees)


@pytest.mark.parametrize("seed", range(100))
def test_line_buffer_is_enough_for_a_source_that_always_has_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride = rng.integers(1, 4, 2).tolist(), rng.integers(1, 3, 2).tolist()
    padding = [int(rng.integers(0, kernel[side % 2])) for side in range(4)]
    window = Window(
        "w",
        (int(rng.integers(3, 12)), int(rng.integers(3, 12)), int(rng.choice([1, 2, 4]))),
        (kernel[0], kernel[1]),
        1,
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[2], padding[3]),
        rows=int(rng.choice([1, kernel[0]])),
        repeats=int(rng.integers(1, 4)),
    )
    assert fifo_depths([window], [(INPUT,)], window.cycles) == [(0,)]


def test_no_word_waits_where_all_are_quick() -> None:
    layers = [GlobalSum("s", 16, 4, 8, 2), ArgMax("m", 4, 2)]
    for interval in (32, 99):
        assert fifo_depths(layers, [(INPUT,), (0,)], interval) == [(0,), (0,)]
