"""Which layers' weights go to single-port RAM, what they cost, and that the core is the same with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import LoweringError, ModelFileError
from common.topology import Conv, Topology
from hw.boards.boards import FAMILIES, find
from hw.core import CoreDesign, design
from hw.dataflow import DataflowGraph, Integers, MatrixVector
from hw.dataflow.fold import Fold
from hw.host.host import Link
from hw.implementation import bitstream
from hw.mapping.cost import estimate, shell_cost, synthetic_graph
from hw.mapping.cost.memory import Store, mapped
from hw.mapping.memories import use_single_port_rams, with_resources
from hw.shells.protocol import design_identity
from hw.simulation import netlist, virtual_board
from hw.simulation.netlist import ChipModel
from hw.simulation.simulate import CoreSimulator
from tests.hw.networks import graph_of, random_frames, random_network

ICE40 = FAMILIES["ice40"]

ICEBREAKER = find("icebreaker")


def dense(name: str, inputs: int, outputs: int, simd: int) -> MatrixVector:
    weights: Integers = np.random.default_rng(inputs).integers(-7, 8, (outputs, inputs))
    return MatrixVector(name, weights, 8, 1, simd)


def alone(inputs: int, outputs: int, simd: int) -> DataflowGraph:
    return DataflowGraph((inputs,), 8, (dense("only", inputs, outputs, simd),))


def memories(graph: DataflowGraph) -> list[str]:
    return [layer.memory for layer in graph.layers if isinstance(layer, MatrixVector)]


def test_only_what_block_ram_does_not_hold() -> None:
    """40 KB and more of weights; a graph that fits stays as it is."""
    small, large = alone(64, 32, 4), alone(784, 128, 4)
    assert with_resources(small, "lut", ICE40, ICEBREAKER.budget) == small
    found = with_resources(large, "auto", ICE40, ICEBREAKER.budget)
    assert memories(found) == ["single-port"]
    assert estimate(large, ICE40).total.block_rams > ICEBREAKER.budget.block_rams
    costs = estimate(found, ICE40)
    total = costs.total + shell_cost(costs.interface, ICE40, None)
    assert total.block_rams <= ICEBREAKER.budget.block_rams
    assert 0 < total.single_port_rams <= ICEBREAKER.budget.single_port_rams


def test_the_layer_that_spares_most() -> None:
    network = random_network([256, 96, 32, 10])
    graph = graph_of(network, [Fold(1, 4), Fold(1, 4), Fold(1, 2)])
    found = use_single_port_rams(graph, ICE40, ICEBREAKER.budget)
    assert memories(found) == ["single-port", "rom", "rom"]


def test_boards_and_shells_without() -> None:
    large = alone(784, 128, 4)
    for name in ("hx8k", "ulx3s-85f"):
        board = find(name)
        assert memories(use_single_port_rams(large, board.family, board.budget)) == ["rom"]
    parallel = ICEBREAKER.budget_of("parallel")
    assert memories(with_resources(large, "auto", ICE40, parallel)) == ["rom"]


def test_no_more_than_there_are() -> None:
    """A word of 4 by 16 weights needs more than four RAMs side by side."""
    graph = DataflowGraph((784,), 8, (replace(dense("wide", 784, 128, 16), pe=4),))
    assert memories(use_single_port_rams(graph, ICE40, ICEBREAKER.budget)) == ["rom"]
    forced = replace(graph, layers=(replace(graph.layers[0], memory="single-port"),))
    assert estimate(forced, ICE40).total.single_port_rams > ICEBREAKER.budget.single_port_rams


@pytest.mark.parametrize(
    ("depth", "width", "rams"), [(1, 1, 1), (16384, 16, 1), (16385, 16, 2), (16384, 17, 2), (20000, 33, 6)]
)
def test_cost(depth: int, width: int, rams: int) -> None:
    found = mapped(Store(depth, width, single_port=True), ICE40)
    assert (found.single_port_rams, found.block_rams) == (rams, 0)


def test_layers_that_have_no_weights_in_memory() -> None:
    with pytest.raises(LoweringError, match=r"only: .*; fold it further"):
        replace(dense("only", 8, 1, 8), memory="single-port")
    with pytest.raises(LoweringError, match="multiply in LUTs"):
        replace(dense("only", 8, 4, 8), memory="single-port", multiply="table")


def forced(tmp_path: Path) -> tuple[DataflowGraph, CoreDesign]:
    """Two layers in single-port RAM, of one and of three columns, the last in ROM."""
    graph = graph_of(random_network([24, 16, 12, 10], seed=3), [Fold(1, 3), Fold(2, 4), Fold(1, 1)])
    layers = [
        replace(layer, memory="single-port")
        if isinstance(layer, MatrixVector) and layer.pe * layer.simd > 1
        else layer
        for layer in graph.layers
    ]
    graph = replace(graph, layers=tuple(layers))
    core = design(graph, tmp_path / "amaranth")
    (tmp_path / "core.v").write_text(core.verilog)
    return graph, core


def test_core_and_its_weights(tmp_path: Path) -> None:
    _, core = forced(tmp_path)
    assert core.interface.weights is not None
    assert len(core.interface.weights.columns) == 4
    core.interface.weights.check(core.weights)
    assert core.verilog.startswith("// Needs weights.bin, SHA-256 ")
    with pytest.raises(ModelFileError, match=r"weights\.bin: 0 bytes"):
        CoreSimulator(tmp_path / "core.v", core.interface, work=tmp_path / "s", log=tmp_path / "log")


@pytest.mark.slow
def test_the_same_core(tmp_path: Path) -> None:
    graph, core = forced(tmp_path)
    simulator = CoreSimulator(
        tmp_path / "core.v",
        core.interface,
        work=tmp_path / "simulator",
        log=tmp_path / "log",
        weights=core.weights,
    )
    frames = random_frames(40, graph.inputs)
    free = simulator.run(frames)
    np.testing.assert_array_equal(free.outputs, graph.execute(frames))
    assert free.interval == graph.interval_bound
    stalled = simulator.run(frames, stall_percent=50, seed=1)
    np.testing.assert_array_equal(stalled.outputs, free.outputs)


def infer(model: ChipModel, core: CoreDesign, frames: np.ndarray, work: Path) -> np.ndarray:
    """Two sessions with one chip: weights are loaded in the first."""
    executable = virtual_board.build(
        model,
        work=work / "simulator",
        log=work / "log",
        clocks_per_bit=ICEBREAKER.clocks_per_bit,
        optimize="-O0",
    )
    outputs = []
    with virtual_board.VirtualBoard(executable, work / "log") as running:
        for part in np.split(frames, 2):
            with Link(running.port, ICEBREAKER.baud, timeout=120) as link:
                link.expect(design_identity(core.verilog.encode()))
                outputs.append(link.infer(part, core.interface, weights=core.weights))
    return np.concatenate(outputs)


@pytest.mark.slow
def test_placed_netlist_equals_the_graph(tmp_path: Path) -> None:
    graph, core = forced(tmp_path)
    log = tmp_path / "log"
    identity = design_identity(core.verilog.encode())
    bitstream.synthesize(ICEBREAKER, tmp_path / "core.v", core.interface, identity, work=tmp_path, log=log)
    used = bitstream.place_and_route(ICEBREAKER, work=tmp_path, log=log, seed=1)
    assert used.resources["ICESTORM_SPRAM"].used == estimate(graph, ICE40).total.single_port_rams == 4
    assert bitstream.pack(ICEBREAKER, work=tmp_path, log=log).stat().st_size > 100_000
    frames = random_frames(8, graph.inputs)
    model = netlist.netlist_model(ICEBREAKER, tmp_path / bitstream.NETLIST, tmp_path, log)
    np.testing.assert_array_equal(infer(model, core, frames, tmp_path), graph.execute(frames))


def test_a_chip_sums_no_padding_before_its_weights_are_there(tmp_path: Path) -> None:
    """A padded convolution takes words as soon as the core runs, and yet the first frame is right."""
    network = Topology((4, 4, 1), (Conv(4, (3, 3), 4, None, padding=(1, 1)),))
    graph = synthetic_graph(network, [Fold(1, 3)])
    layers = tuple(
        replace(layer, memory="single-port") if isinstance(layer, MatrixVector) else layer
        for layer in graph.layers
    )
    graph = replace(graph, layers=layers)
    core = design(graph, tmp_path / "amaranth")
    (tmp_path / "core.v").write_text(core.verilog)
    identity = design_identity(core.verilog.encode())
    model = netlist.rtl_model(ICEBREAKER, tmp_path / "core.v", core.interface, identity, tmp_path)
    frames = np.random.default_rng(2).integers(0, 256, (4, *core.interface.input.shape)).astype(np.uint8)
    found = infer(model, core, frames, tmp_path)
    np.testing.assert_array_equal(found.reshape(4, -1), graph.execute(frames).reshape(4, -1))
