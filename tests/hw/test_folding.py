import pytest

from hw.boards import find
from hw.cost import Cost, fold_places, synthetic_graph
from hw.dataflow.fold import Fold
from hw.folding import fold, folds_of, share, target_of
from models.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Topology
from pipeline.errors import CapacityError

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


@pytest.mark.parametrize("topology", [DIGITS, PICTURES], ids=["dense", "pictures"])
@pytest.mark.parametrize("target", [20000, 1500, 900])
def test_folds_reach_the_target(topology: Topology, target: int) -> None:
    folds = fold(topology, target, "ice40", BUDGET)
    assert len(folds) == len(fold_places(topology.steps))
    assert synthetic_graph(topology, folds).interval_bound <= target


def test_slow_targets_take_one_product_a_cycle() -> None:
    assert fold(DIGITS, 10**6, "ecp5", BUDGET)[0].pe * fold(DIGITS, 10**6, "ecp5", BUDGET)[0].simd <= 2


def test_folds_of_a_layer() -> None:
    dense, pool = PICTURES.steps[-1], PICTURES.steps[3]
    assert Fold(10, dense.inputs) in folds_of(dense)
    assert {each.simd for each in folds_of(pool)} == {1, 2, 4}
    assert folds_of(dense)[0] == Fold(1, 1)


def test_too_fast_a_target_names_the_layer() -> None:
    topology = Topology((12, 12, 1), (Conv(8, (3, 3), 3, 4), Dense(10, 4, None)))
    with pytest.raises(CapacityError, match=r"layer0: its window takes \d+ cycles a frame"):
        fold(topology, 50, "ice40", BUDGET)


def test_target_of_a_rate() -> None:
    assert target_of(1000, 12_000_000) == 12_000
    assert target_of(7e6, 12_000_000) == 1


def test_share_adds_up() -> None:
    assert share(Cost(BUDGET.luts, 0, BUDGET.block_rams), BUDGET) == pytest.approx(2.0)
