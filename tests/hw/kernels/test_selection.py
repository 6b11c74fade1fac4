"""The kernels of a graph's layers, and the streams of the core that they make."""

import numpy as np
import pytest

from common.errors import LoweringError
from hw.dataflow import INPUT, ArgMax, DataflowGraph, Fifo, MatrixVector, Window, connect
from hw.dataflow.fold import Fold
from hw.interface import CoreInterface
from hw.kernels import specs
from hw.kernels.selection import interface_of, select
from tests.hw.graphs import convolution
from tests.hw.networks import graph_of, random_network


def interface(graph: DataflowGraph) -> CoreInterface:
    return interface_of(graph, select(graph))


def test_core_takes_bytes_alone() -> None:
    graph = DataflowGraph((4,), 4, (MatrixVector("mv", np.ones((2, 4), np.int64), 4, 1, 1),))
    with pytest.raises(LoweringError, match="the core takes uint8, the graph 4-bit values"):
        interface(graph)


def test_outputs_too_wide() -> None:
    graph = DataflowGraph((4,), 8, (MatrixVector("mv", np.full((2, 4), 1 << 30), 8, 1, 1),))
    with pytest.raises(LoweringError, match="mv: outputs of 40 bits do not fit 32"):
        interface(graph)


def test_interface() -> None:
    network = random_network([12, 8, 6])
    logits = interface(graph_of(network, [Fold(2, 4), Fold(3, 1)]))
    assert (logits.input.shape, logits.input.dtype, logits.input.lanes) == ((12,), "uint8", 4)
    assert (logits.output.shape, logits.output.dtype, logits.output.lanes) == ((6,), "int16", 3)
    label = interface(graph_of(network, [Fold(2, 4), Fold(3, 1)], label=True))
    assert (label.output.shape, label.output.dtype, label.output.lanes) == ((1,), "uint8", 1)


def test_fifo_joins_the_replay_buffer() -> None:
    chosen = select(graph_of(random_network([12, 10, 4]), [Fold(2, 2), Fold(1, 2)]))
    assert [found.name for found in chosen] == ["mv0", "threshold0", "mv1"]
    assert [chosen[at].spec.buffer.depth for at in (0, 2)] == [12, 10]


def test_fifo_elsewhere_is_a_buffer() -> None:
    layers = graph_of(random_network([6, 4]), [Fold(2, 3)], label=True).layers
    chosen = select(DataflowGraph((6,), 8, (*layers[:-1], Fifo("between", 4, 2, 5), layers[-1])))
    assert isinstance(chosen[-2].spec, specs.Buffer) and chosen[-2].spec.words == 8


@pytest.mark.parametrize(("simd", "sequential"), [(1, True), (4, True), (6, False), (12, False)])
def test_search_in_turns_where_there_is_time(simd: int, sequential: bool) -> None:
    chosen = select(graph_of(random_network([12, 4, 4]), [Fold(2, simd), Fold(1, 1)]))
    spec = next(found.spec for found in chosen if isinstance(found.spec, specs.Threshold))
    assert spec.sequential is sequential


@pytest.mark.parametrize(("simd", "replay"), [(2, False), (6, False), (18, True), (1, False), (9, True)])
def test_repeated_words_need_no_replay_buffer(simd: int, replay: bool) -> None:
    layers, _ = convolution("conv", INPUT, (5, 4, 2), (2, simd))
    chosen = {found.name: found for found in select(connect((5, 4, 2), 8, layers))}
    assert chosen["conv"].spec.replay is replay


def test_fifo_joins_the_line_buffer() -> None:
    window = Window("window", (5, 4, 2), (3, 3), 2)
    least = select(DataflowGraph((5, 4, 2), 8, (window,)))[0].spec
    (deeper,) = select(DataflowGraph((5, 4, 2), 8, (Fifo("fifo", 40, 2, 40), window)))
    assert deeper.spec.depth >= least.buffer.depth + 40


def test_types_must_meet() -> None:
    layers = (
        MatrixVector("a", -np.ones((2, 4), np.int64), 8, 1, 1),
        MatrixVector("b", np.ones((1, 2)), 4, 1, 1),
    )
    with pytest.raises(LoweringError, match="b: takes unsigned values of 4 bits, signed ones of 11 come"):
        select(DataflowGraph((4,), 8, layers))


def test_columns_of_pixels_are_for_matrices() -> None:
    layers = (Window("window", (4, 4, 2), (2, 2), 1, rows=2), ArgMax("argmax", 72, 2))
    with pytest.raises(LoweringError, match="argmax: cannot take columns of pixels; give window one row"):
        select(DataflowGraph((4, 4, 2), 8, layers))
