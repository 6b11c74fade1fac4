from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import LoweringError
from common.topology import AveragePool, Conv, Dense, Depthwise, Residual, Topology
from common.topology import MaxPool as Pool
from hw.boards.boards import FAMILIES, find
from hw.boards.families.base import ChipFamily
from hw.core.verilog import to_verilog
from hw.dataflow import Depthwise as OneByOne
from hw.dataflow import GlobalSum, MatrixVector, MaxPool, Reduce, Threshold, Window
from hw.dataflow.fold import Fold
from hw.kernels import specs
from hw.kernels.unfolded import Unfolded
from hw.mapping.cost import Cost, estimate, folded_steps, synthetic_graph
from hw.mapping.cost.memory import Store, mapped
from hw.mapping.cost.part import tree
from hw.mapping.folding import share
from tests.bench.cost_model import Bench, checked, interval
from tests.bench.held_out import BOARDS
from tests.bench.held_out import SEEDS as HELD_OUT
from tests.hw.topologies import random_case

DIGITS = Topology((64,), (Dense(64, 4, 4), Dense(32, 4, 4), Dense(10, 4, None)))
FOLDS = (Fold(4, 8), Fold(4, 8), Fold(1, 8))
PICTURES = Topology(
    (12, 12, 1),
    (
        Conv(8, (3, 3), 3, 4, padding=(1, 1)),
        Pool((2, 2)),
        Residual((Conv(8, (3, 3), 3, 4, padding=(1, 1)),), 4),
        Pool((3, 3), (1, 1)),
        Depthwise((3, 3), 4, 3),
        AveragePool(None, None),
        Dense(10, 4, None),
    ),
)

ICE40, ECP5 = FAMILIES["ice40"], FAMILIES["ecp5"]
OPEN = (ICE40, ECP5)


def test_tree_of_adders() -> None:
    assert (tree([4] * 8).width, tree([4] * 8).adders, tree([4] * 8).bits) == (7, 7, 4 * 5 + 2 * 6 + 7)
    assert tree([5]).bits == 0
    assert tree([6, 6], [0, 2]).width == 9
    assert tree([6, 6], [0, 2]).bits == 7  # the two lowest bits pass


@pytest.mark.parametrize(
    ("store", "family", "blocks"),
    [
        (Store(256, 16), ICE40, 1),
        (Store(256, 17), ICE40, 2),
        (Store(512, 8), ICE40, 1),
        (Store(2048, 2), ICE40, 1),
        (Store(32, 16), ICE40, 0),  # few bits: LUTs are cheaper
        (Store(32, 16, writable=True), ICE40, 1),
        (Store(2, 16, writable=True), ICE40, 0),
        (Store(512, 36), ECP5, 1),
        (Store(1024, 18), ECP5, 1),
        (Store(16, 36), ECP5, 0),
        (Store(16, 36, block=True), ECP5, 1),
    ],
)
def test_block_rams(store: Store, family: ChipFamily, blocks: int) -> None:
    assert mapped(store, family).block_rams == blocks


def test_small_memories_of_ecp5_are_luts() -> None:
    found = mapped(Store(32, 6, writable=True), ECP5)
    assert (found.block_rams, found.ram, found.bits) == (0, 16, 0)


def test_synthetic_graph_of_dense_layers() -> None:
    graph = synthetic_graph(DIGITS, FOLDS)
    matrices = [layer for layer in graph.layers if isinstance(layer, MatrixVector)]
    assert [layer.weights.shape for layer in matrices] == [(64, 64), (32, 64), (10, 32)]
    assert [int(np.abs(layer.weights).max()) for layer in matrices] == [7, 7, 7]
    assert [(layer.pe, layer.simd) for layer in matrices] == [(4, 8), (4, 8), (1, 8)]
    assert graph.shape == (64,)
    assert graph.interval_bound == 128


def test_synthetic_graph_of_every_kind_of_layer() -> None:
    folds = [Fold(2, 3), Fold(2, 8), Fold(4, 3), Fold(2, 1), Fold(1, 4)]
    assert [PICTURES.steps[place].name for place in folded_steps(PICTURES.steps)] == [
        "layer0",
        "layer2.body0",
        "layer4",
        "layer5",
        "layer6",
    ]
    graph = synthetic_graph(PICTURES, folds, label=True)
    kinds = [type(layer) for layer in graph.layers]
    for kind, count in (
        (Window, 4),
        (MatrixVector, 3),
        (Threshold, 4),
        (MaxPool, 1),
        (Reduce, 1),
        (GlobalSum, 1),
    ):
        assert kinds.count(kind) == count, kind
    assert graph.execute(np.zeros((1, 144), np.int64)).shape == (1, 1)


def test_synthetic_graph_refuses_folds_that_do_not_divide() -> None:
    with pytest.raises(LoweringError, match="layer1: SIMD 7 does not divide 64"):
        synthetic_graph(DIGITS, (Fold(4, 8), Fold(4, 7), Fold(1, 8)))


@pytest.mark.parametrize("family", OPEN)
def test_estimate_by_layer(family: ChipFamily) -> None:
    found = estimate(synthetic_graph(DIGITS, FOLDS), family)
    names = [layer.name for layer in found.layers]
    assert [name for name in names if "." not in name and "dwc" not in name] == ["layer0", "layer1", "layer2"]
    first = found.layers[names.index("layer0")]
    assert (first.pe, first.simd, first.cycles, first.i_bits) == (4, 8, 128, 64)
    assert found.total == sum((layer.cost for layer in found.layers), Cost())
    assert found.largest.kind == "MatrixVector"
    assert found.interval == 128
    assert (found.interface.input.word_bits, found.interface.output.dtype) == (64, "int16")


@pytest.mark.parametrize("family", OPEN)
@pytest.mark.parametrize("kind", ["dense", "depthwise"])
def test_accumulator_bits_are_held_and_take_less(family: ChipFamily, kind: str) -> None:
    def network(bits: int | None) -> Topology:
        if kind == "dense":
            return Topology((64,), (Dense(32, 4, 4, accumulator_bits=bits), Dense(10, 4, None)))
        layers = (Depthwise((5, 5), 4, 4, accumulator_bits=bits), Dense(10, 4, None))
        return Topology((12, 12, 8), layers)

    def assessed(bits: int | None) -> tuple[float, int]:
        graph = synthetic_graph(network(bits), (Fold(4, 1), Fold(2, 2)))
        layer = next(layer for layer in graph.layers if isinstance(layer, MatrixVector | OneByOne))
        sides = (layer.weights.clip(min=0), -layer.weights.clip(max=0))
        reach = max(int(side.sum(axis=1).max()) for side in sides) * ((1 << layer.x_bits) - 1)
        return share(estimate(graph, family).total, find(BOARDS[family.name]).budget), reach

    free, reach = assessed(None)
    tight, bounded = assessed(13)
    assert bounded <= (1 << 12) - 1 < reach
    assert tight < free


@pytest.mark.parametrize("family", OPEN)
def test_wider_folds_and_more_bits_take_more(family: ChipFamily) -> None:
    def luts(topology: Topology, folds: tuple[Fold, ...]) -> float:
        return estimate(synthetic_graph(topology, folds), family).total.luts

    narrow, middle, wide = ((Fold(pe, 8), Fold(pe, 8), Fold(1, 8)) for pe in (1, 2, 8))
    assert luts(DIGITS, narrow) < luts(DIGITS, middle) < luts(DIGITS, wide)
    eight = Topology((64,), (Dense(64, 8, 4), Dense(32, 8, 4), Dense(10, 8, None)))
    assert luts(DIGITS, middle) < luts(eight, middle)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(OPEN))
def test_every_topology_has_costs(seed: int, family: ChipFamily) -> None:
    topology, folds, graph = random_case(np.random.default_rng(seed))
    found = estimate(graph, family)
    assert len(folds) == len(folded_steps(topology.steps))
    assert found.interval == graph.interval_bound
    assert all(layer.cost.luts >= 0 and layer.cost.flip_flops >= 0 for layer in found.layers)
    assert found.total.luts > 20


@pytest.mark.slow
@pytest.mark.parametrize(("family", "median", "under"), [(ICE40, 0.1, 0.2), (ECP5, 0.25, 0.1)])
def test_chips_take_what_was_estimated(
    family: ChipFamily, median: float, under: float, tmp_path: Path
) -> None:
    """ECP5's kernels take less together than one by one; its chips have room for that."""
    found = list(checked(Bench(tmp_path, tmp_path), family, SEEDS))
    assert float(np.median([abs(each.error) for each in found])) <= median
    assert min(each.error for each in found) >= -under


@pytest.mark.nightly
def test_logic_cells_of_all_networks_held_out(tmp_path: Path) -> None:
    errors = [each.error for each in checked(Bench(tmp_path, tmp_path), ICE40, HELD_OUT)]
    assert len(errors) == 30
    assert float(np.median(np.abs(errors))) <= 0.1
    assert min(errors) >= -0.2


@pytest.mark.parametrize("exact", [True, False])
def test_size_of_an_unfolded_layer_is_that_of_its_module(exact: bool, tmp_path: Path) -> None:
    """Every bit of its registers, of the adders between them no more than its sums have."""
    weights = np.random.default_rng(1).integers(-3, 4, (5, 9))
    spec = specs.Unfolded(MatrixVector("matrix", weights, 4, 5, 9), exact)
    size, outputs = spec.size, spec.outlet.bits * exact
    text = to_verilog(Unfolded(spec), "top", None, tmp_path)
    (found,) = Bench(tmp_path, tmp_path).measured(text, ECP5, "top").values()
    assert found.flip_flops == pytest.approx(size.behind + size.alone + outputs, abs=8)
    assert size.adders >= weights.shape[0] and size.adder > size.adders


@pytest.mark.slow
def test_interval_is_that_of_the_core(tmp_path: Path) -> None:
    for seed in SEEDS[:2]:
        given, real = interval(tmp_path / str(seed), seed)
        assert given == real


SEEDS = (0, 1, 2, 3, 7)
"""Topologies that the coefficients were not fitted to."""
