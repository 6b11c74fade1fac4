"""Cores of random graphs in Verilator: the values are those of numpy, the interval is the bound."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hw.core import design
from hw.dataflow import DataflowGraph
from hw.mapping.memories import with_products
from hw.simulation.simulate import CoreSimulator
from tests.hw.graphs import random_frames, random_graph

FRAMES = 24
STALLS = (30, 70)


def check(graph: DataflowGraph, work: Path, seed: int) -> None:
    """Frames at full rate, then with random stalls at both ends."""
    core = design(graph, work / "amaranth")
    (work / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        work / "core.v", core.interface, work=work / "simulator", log=work / "log", optimize="-O0"
    )
    frames = random_frames(np.random.default_rng(seed), FRAMES, graph.inputs)
    shaped, expected = frames.reshape(FRAMES, *graph.shape), graph.execute(frames)
    free = simulator.run(shaped)
    np.testing.assert_array_equal(free.outputs, expected)
    assert free.interval == graph.interval_bound
    for stall in STALLS:
        stalled = simulator.run(shaped, stall_percent=stall, seed=seed % 1000)
        np.testing.assert_array_equal(stalled.outputs, expected)


SEEDS = st.integers(0, 2**32 - 1)
COMMON = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],  # another seed is another graph: nothing to shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def check_seed(seed: int, tmp_path: Path) -> None:
    work, rng = tmp_path / str(seed), np.random.default_rng(seed)
    graph = with_products(random_graph(rng), rng.choice(["lut", "table", "dsp"]))
    check(graph, work, seed)
    shutil.rmtree(work)


@pytest.mark.slow
@settings(COMMON, max_examples=20, derandomize=True)
@given(seed=SEEDS)
def test_random_graphs(tmp_path: Path, seed: int) -> None:
    check_seed(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.nightly
@settings(COMMON, max_examples=200)
@given(seed=SEEDS)
def test_many_random_graphs(tmp_path: Path, seed: int) -> None:
    check_seed(seed, tmp_path)
