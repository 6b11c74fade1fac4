import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CapacityError
from common.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Topology
from hw.boards.boards import FAMILIES, find
from hw.dataflow.fold import Fold
from hw.interface import CoreInterface
from hw.mapping.cost import Cost, estimate, folded_steps, shell_cost, synthetic_graph
from hw.mapping.folding import candidates, fold, folds_of, share, target_of
from tests.hw.topologies import random_case

BUDGET = find("icebreaker").budget
DIGITS = Topology((64,), (Dense(64, 4, 4), Dense(32, 4, 4), Dense(10, 4, None)))
PICTURES = Topology(
    (12, 12, 2),
    (
        Conv(8, (3, 3), 3, 4, padding=(1, 1)),
        MaxPool((3, 3), (1, 1)),
        Depthwise((3, 3), 4, 3),
        AveragePool((2, 2), 3),
        Conv(4, (1, 1), 4, 4),
        Dense(10, 4, None),
    ),
)

ICE40, ECP5 = FAMILIES["ice40"], FAMILIES["ecp5"]


@pytest.mark.parametrize("topology", [DIGITS, PICTURES], ids=["dense", "pictures"])
@pytest.mark.parametrize("target", [20000, 1500, 900])
def test_folds_reach_the_target(topology: Topology, target: int) -> None:
    folds = fold(topology, target, ICE40, BUDGET)
    assert len(folds) == len(folded_steps(topology.steps))
    assert synthetic_graph(topology, folds).interval_bound <= target


def serial(interface: CoreInterface) -> Cost:
    return shell_cost(interface, ICE40, None)


def cost(topology: Topology, target: int) -> float:
    """Of the folds for a target, which they satisfy."""
    graph = synthetic_graph(topology, fold(topology, target, ICE40, BUDGET, serial))
    assert graph.interval_bound <= target
    found = estimate(graph, ICE40)
    return share(found.total + serial(found.interface), BUDGET)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_cost_is_monotone_in_the_target(seed: int, one: float, other: float) -> None:
    """Between the fastest and the slowest pace of random networks, at all scales."""
    topology, _, graph = random_case(np.random.default_rng(seed))
    paces = [each.interval for each in candidates(topology, 10**9, ICE40, BUDGET)]
    least = max(paces[-1], min(layer.cycles for layer in graph.layers))
    fast, slow = sorted(round(least * (paces[0] / least) ** at) for at in (one, other))
    try:
        before = cost(topology, fast)
    except (CapacityError, AssertionError):  # what is no layer of weights may be slower
        return
    assert cost(topology, slow) <= before


def test_cost_falls_at_every_target_in_turn() -> None:
    """Down to layers without folds: adders for constants, which may take less than multipliers."""
    topology = Topology((64,), (Dense(16, 2, 2), Dense(10, 2, None)))
    costs = [cost(topology, target) for target in (*range(1, 9), 12, 16, 24, 32, 64, 512)]
    assert costs == sorted(costs, reverse=True)


def test_candidates_are_ever_faster_and_dearer() -> None:
    found = list(candidates(PICTURES, 5000, ICE40, BUDGET))
    assert [each.interval for each in found] == sorted({each.interval for each in found}, reverse=True)
    assert [each.share for each in found] == sorted(each.share for each in found)
    assert all(each.least_luts("auto", ICE40) <= each.least_luts("lut", ICE40) for each in found)


def test_slow_targets_take_one_product_a_cycle() -> None:
    assert fold(DIGITS, 10**6, ECP5, BUDGET)[0].pe * fold(DIGITS, 10**6, ECP5, BUDGET)[0].simd <= 2


def test_folds_of_a_layer() -> None:
    dense, pool = PICTURES.steps[-1], PICTURES.steps[3]
    assert Fold(10, dense.inputs) in folds_of(dense)
    assert {each.simd for each in folds_of(pool)} == {1, 2, 4}
    assert folds_of(dense)[0] == Fold(1, 1)


def test_too_fast_a_target_names_the_layer() -> None:
    topology = Topology((12, 12, 1), (Conv(8, (3, 3), 3, 4), Dense(10, 4, None)))
    with pytest.raises(CapacityError, match=r"layer0: its window takes \d+ cycles a frame"):
        fold(topology, 50, ICE40, BUDGET)


def test_target_of_a_rate() -> None:
    assert target_of(1000, 12_000_000) == 12_000
    assert target_of(7e6, 12_000_000) == 1
    assert target_of(13e6, 12_000_000) == 0


def test_share_adds_up() -> None:
    assert share(Cost(BUDGET.luts, 0, BUDGET.block_rams), BUDGET) == pytest.approx(2.0)


def test_flip_flops_in_cells_of_luts_count_once() -> None:
    ecp5 = find("orangecrab").budget
    assert BUDGET.shared_cells and not ecp5.shared_cells
    assert share(Cost(0, 100), BUDGET) == 0
    assert share(Cost(0, ecp5.flip_flops), ecp5) == pytest.approx(1.0)
