"""Random decision trees against numpy, under back-pressure, at full rate, and as Verilog in Verilator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import LoweringError
from hw.core import design
from hw.dataflow import DataflowGraph, TreeTable
from hw.dataflow import Tree as TreeLayer
from hw.dataflow.tree import LEAF
from hw.kernels import specs
from hw.kernels.tree import Tree
from hw.simulation.simulate import CoreSimulator
from tests.hw.kernels.streaming import stream_through


def random_table(rng, features, classes, depth):
    rows = []

    def grow(left_over):
        place = len(rows)
        rows.append([LEAF, 0, 0, 0, int(rng.integers(classes))])
        if left_over and rng.random() < 0.8:
            rows[place] = [int(rng.integers(features)), int(rng.integers(255)), 0, 0, 0]
            rows[place][2] = grow(left_over - 1)
            rows[place][3] = grow(left_over - 1)
        return place

    grow(depth)
    return TreeTable(*np.array(rows, np.int64).T)


def walked(table, frame):
    node = 0
    while table.feature[node] != LEAF:
        above = frame[table.feature[node]] > table.threshold[node]
        node = table.right[node] if above else table.left[node]
    return table.label[node]


gaps = st.sampled_from([0.0, 0.3, 0.8])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5), gaps, gaps, st.integers(0, 2**32 - 1))
def test_labels_are_those_of_a_walk(words, lanes, depth, i_gaps, o_gaps, seed):
    rng = np.random.default_rng(seed)
    table = random_table(rng, words * lanes, 5, depth)
    x = rng.integers(0, 256, (7, words * lanes))
    layer = TreeLayer("tree", table, words * lanes, 5, lanes)
    run = stream_through(
        Tree(specs.Tree(layer, specs.ValueType(8))),
        x.reshape(-1, lanes),
        7,
        seed=seed,
        i_gaps=i_gaps,
        o_gaps=o_gaps,
    )
    expected = [walked(table, frame) for frame in x]
    assert run.words[:, 0].tolist() == layer.execute(x)[:, 0].tolist() == expected


@pytest.mark.parametrize("words", [1, 2, 6])
def test_a_word_every_cycle(words):
    rng = np.random.default_rng(1)
    layer = TreeLayer("tree", random_table(rng, words, 3, 4), words, 3)
    run = stream_through(
        Tree(specs.Tree(layer, specs.ValueType(8))), rng.integers(0, 256, (10 * words, 1)), 10
    )
    assert set(np.diff(run.cycles)) == {words}


def test_core_in_verilator(tmp_path):
    rng = np.random.default_rng(5)
    table = random_table(rng, 12, 4, 6)
    core = design(DataflowGraph((2, 6), 8, (TreeLayer("tree", table, 12, 4, lanes=2),)), tmp_path / "work")
    (tmp_path / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        tmp_path / "core.v", core.interface, work=tmp_path / "sim", log=tmp_path / "sim.log"
    )
    x = rng.integers(0, 256, (200, 2, 6)).astype(np.uint8)
    expected = [walked(table, frame.ravel()) for frame in x]
    for stalls in (0, 40):
        found = simulator.run(x, stall_percent=stalls)
        assert found.outputs[:, 0].tolist() == expected
        if not stalls:
            assert found.interval == 6


def test_refuses_what_no_stream_carries():
    table = random_table(np.random.default_rng(0), 6, 2, 1)
    with pytest.raises(LoweringError, match="257 classes; give"):
        TreeLayer("tree", table, 6, 257)
    with pytest.raises(LoweringError, match="tree: lanes 4 does not divide 6; give"):
        TreeLayer("tree", table, 6, 2, lanes=4)
