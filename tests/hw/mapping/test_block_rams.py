"""Where matrix-vector layers multiply, and that it is the same product everywhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw.boards.boards import FAMILIES, find
from hw.boards.budget import Budget
from hw.core import design
from hw.dataflow import DataflowGraph, Integers, MatrixVector, Multiply
from hw.mapping.cost import estimate
from hw.mapping.memories import SHARE, use_block_rams, with_products
from hw.simulation.simulate import CoreSimulator
from tests.hw.networks import graph_of, random_folds, random_frames, random_network

ECP5 = FAMILIES["ecp5"]

BUDGET = find("ulx3s-85f").budget


def chosen(graph: DataflowGraph, budget: Budget = BUDGET) -> list[Multiply]:
    found = use_block_rams(graph, ECP5, budget)
    return [layer.multiply for layer in found.layers if isinstance(layer, MatrixVector)]


def wide() -> DataflowGraph:
    """4 by 16 products a cycle, weights in 32 steps."""
    weights: Integers = np.random.default_rng(0).integers(-7, 8, (32, 64))
    return DataflowGraph((64,), 8, (MatrixVector("wide", weights, 8, 4, 16),))


def test_tables_where_block_ram_is_free() -> None:
    graph = wide()
    assert chosen(graph) == ["table"]
    in_tables = estimate(with_products(graph, "table"), ECP5).total.block_rams
    short = replace(BUDGET, block_rams=int(in_tables / SHARE) - 2)
    assert chosen(graph, short) == ["lut"]
    spared = estimate(use_block_rams(graph, ECP5, BUDGET), ECP5).total.luts
    assert spared < estimate(graph, ECP5).total.luts / 2


def test_small_chips_keep_their_block_rams() -> None:
    board = find("icebreaker")
    found = use_block_rams(wide(), board.family, board.budget)
    assert estimate(found, board.family).total.block_rams <= board.budget.block_rams * SHARE


@pytest.mark.slow
@pytest.mark.parametrize("multiply", ["table", "dsp"])
def test_the_same_core(tmp_path: Path, multiply: Multiply) -> None:
    network = random_network([24, 12, 10], seed=3)
    folds = random_folds(network, np.random.default_rng(5))
    graph = with_products(graph_of(network, folds), multiply)
    core = design(graph, tmp_path / "amaranth")
    (tmp_path / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        tmp_path / "core.v", core.interface, work=tmp_path / "simulator", log=tmp_path / "log"
    )
    frames = random_frames(20, network.inputs)
    free = simulator.run(frames)
    np.testing.assert_array_equal(free.outputs, graph.execute(frames))
    assert free.interval == graph.interval_bound
    stalled = simulator.run(frames, stall_percent=50, seed=1)
    np.testing.assert_array_equal(stalled.outputs, free.outputs)
