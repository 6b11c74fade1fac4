"""Cores in Verilator: values, cycles and taps as `CoreSimulator` gives them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import ToolError
from hw.core import CoreDesign, design
from hw.core.module import Tap
from hw.dataflow import DataflowGraph
from hw.dataflow.fold import Fold
from hw.simulation import simulate
from hw.simulation.simulate import CoreSimulator, Simulation
from models.students.integer import IntegerNetwork
from tests.hw.graphs import residual
from tests.hw.networks import graph_of, random_frames, random_network


def simulation(last_out: list[int], *begins: int) -> Simulation:
    count = len(last_out)
    first_in, outputs = np.full(count, 3), np.zeros((count, 1))
    return Simulation(outputs, first_in, np.array(last_out), begins=begins or (0,))


def test_interval_is_the_longest_once_the_buffers_are_full() -> None:
    assert simulation([10, 12, 14, 30, 40, 51, 61]).interval == 11
    assert simulation([10, 90, 100, 110]).interval == 10


def test_interval_is_that_of_each_part() -> None:
    assert simulation([10, 12, 14, 9, 10, 15, 9], 0, 3, 6).interval == 5


def test_latency_counts_both_ends() -> None:
    assert simulation([10, 20]).latency == 8
    assert simulation([10]).interval == 8  # of one frame there is no other


@pytest.mark.parametrize(
    ("lanes", "bits", "size"),
    [(1, 1, 1), (2, 4, 1), (3, 3, 2), (4, 8, 4), (9, 4, 8), (16, 4, 8), (17, 4, 12), (32, 8, 32)],
)
def test_bytes_that_verilator_keeps_a_word_in(lanes: int, bits: int, size: int) -> None:
    assert Tap("t", lanes, bits).word_bytes == size


@dataclass(frozen=True)
class Simulated:
    """A core in Verilator and what it was made from."""

    network: IntegerNetwork
    graph: DataflowGraph
    design: CoreDesign
    simulator: CoreSimulator


def simulated(work: Path, widths: list[int], folds: list[tuple[int, int]], *, label: bool) -> Simulated:
    network = random_network(widths)
    graph = graph_of(network, [Fold(*fold) for fold in folds], label=label)
    core = design(graph, work / "amaranth")
    (work / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        work / "core.v", core.interface, work=work / "simulator", log=work / "log", taps=core.taps
    )
    return Simulated(network, graph, core, simulator)


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Unlike widths, and a tap of more than 64 bits."""
    work = tmp_path_factory.mktemp("simple")
    return simulated(work, [12, 24, 6, 4], [(24, 2), (2, 8), (1, 3)], label=False)


@pytest.mark.slow
def test_values_interval_latency(simple: Simulated) -> None:
    frames = random_frames(60, 12)
    run = simple.simulator.run(frames)
    np.testing.assert_array_equal(run.outputs, simple.network.forward(frames))
    assert run.outputs.dtype == simple.design.interface.output.dtype
    assert run.interval == simple.graph.interval_bound
    assert (np.diff(run.first_in) > 0).all() and (np.diff(run.last_out) > 0).all()
    # A frame passes all layers, each of which may begin while the one before it is at work.
    cycles = [layer.cycles for layer in simple.graph.layers]
    assert max(cycles) < run.latency < sum(cycles) + 20 * len(cycles)
    alone = simple.simulator.run(frames[:1])
    assert alone.latency == run.latency == alone.interval


@pytest.mark.slow
def test_stalls_change_no_value(simple: Simulated) -> None:
    frames = random_frames(60, 12)
    expected = simple.network.forward(frames)
    free = simple.simulator.run(frames)
    runs = [simple.simulator.run(frames, stall_percent=stall, seed=5) for stall in (10, 50, 90, 50)]
    for run in runs:
        np.testing.assert_array_equal(run.outputs, expected)
        assert run.last_out[-1] > free.last_out[-1]
        for tap, other in zip(free.taps, run.taps, strict=True):
            np.testing.assert_array_equal(tap, other)
    np.testing.assert_array_equal(runs[1].last_out, runs[3].last_out)  # the seed says where the stalls are
    other = simple.simulator.run(frames, stall_percent=50, seed=6)
    assert not np.array_equal(other.last_out, runs[1].last_out)


@pytest.mark.slow
def test_cores_side_by_side(simple: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same values, layer by layer; each part begins with a reset."""
    monkeypatch.setattr(simulate, "FEWEST", 10)
    frames = random_frames(47, 12)
    alone, beside = simple.simulator.run(frames), simple.simulator.run(frames, threads=3)
    np.testing.assert_array_equal(beside.outputs, alone.outputs)
    for tap, other in zip(alone.taps, beside.taps, strict=True):
        np.testing.assert_array_equal(tap, other)
    assert beside.begins == (0, 15, 31)
    np.testing.assert_array_equal(beside.last_out[:15], alone.last_out[:15])
    np.testing.assert_array_equal(beside.last_out[31:], alone.last_out[:16])
    assert beside.interval == alone.interval == simple.graph.interval_bound
    few = simple.simulator.run(frames, threads=99, stall_percent=50)
    assert len(few.begins) == 4
    np.testing.assert_array_equal(few.outputs, alone.outputs)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 40])
def test_taps_give_the_activations(simple: Simulated, count: int) -> None:
    frames = random_frames(count, 12)
    *activations, _ = simple.network.intermediates(frames)
    taps = simple.simulator.run(frames).taps
    assert len(taps) == len(activations) == 2
    for tap, expected in zip(taps, activations, strict=True):
        np.testing.assert_array_equal(tap, expected)


@pytest.mark.slow
def test_taps_of_a_residual_network(tmp_path: Path) -> None:
    """Every threshold layer's values, pixel by pixel in the frame's order."""
    graph = residual()
    core = design(graph, tmp_path / "amaranth")
    (tmp_path / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        tmp_path / "core.v",
        core.interface,
        work=tmp_path / "simulator",
        log=tmp_path / "log",
        taps=core.taps,
        optimize="-O0",
    )
    frames = random_frames(8, graph.inputs)
    given = dict(zip([layer.name for layer in graph.layers], graph.values(frames), strict=True))
    assert len(core.taps) == 4
    run = simulator.run(frames, stall_percent=20)
    for tap, values in zip(core.taps, run.taps, strict=True):
        np.testing.assert_array_equal(values, given[tap.instance])


@pytest.mark.slow
def test_label(tmp_path: Path) -> None:
    found = simulated(tmp_path, [8, 6, 4], [(6, 8), (4, 6)], label=True)
    frames = random_frames(200, 8)
    run = found.simulator.run(frames)
    np.testing.assert_array_equal(run.outputs[:, 0], found.network.forward(frames).argmax(1))
    assert run.interval == found.graph.interval_bound
    stalled = found.simulator.run(frames, stall_percent=30)
    np.testing.assert_array_equal(stalled.outputs, run.outputs)


CORE = """
module core(input clk, input rst, input [7:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
            output reg [7:0] m_axis_tdata, output reg m_axis_tvalid, input m_axis_tready);
  assign s_axis_tready = !m_axis_tvalid;
  always @(posedge clk) begin
    if (s_axis_tvalid && s_axis_tready) begin m_axis_tdata <= s_axis_tdata; m_axis_tvalid <= ACCEPTS; end
    if (m_axis_tvalid && m_axis_tready) m_axis_tvalid <= 0;
    if (rst) m_axis_tvalid <= 0;
  end
endmodule
"""


def simulator_of(text: str, work: Path) -> CoreSimulator:
    from hw.interface import CoreInterface, StreamFormat

    (work / "core.v").write_text(text)
    interface = CoreInterface(StreamFormat((1,), "uint8", 1), StreamFormat((1,), "uint8", 1))
    return CoreSimulator(work / "core.v", interface, work=work / "simulator", log=work / "log")


@pytest.mark.slow
def test_core_that_swallows_its_input(tmp_path: Path) -> None:
    simulator = simulator_of(CORE.replace("ACCEPTS", "s_axis_tdata != 7"), tmp_path)
    frames = np.array([[3], [4]], np.uint8)
    np.testing.assert_array_equal(simulator.run(frames).outputs, frames)
    with pytest.raises(ToolError, match=r"simulating core\.v: .*the core is stuck after 2 words in, 1 out"):
        simulator.run(np.array([[3], [7]], np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("endmodule", "assign nothing = missing;\nendmodule"), "missing|nothing"),
        (lambda text: text.replace("m_axis_tvalid <= 0;", "m_axis_tvalid = 0;"), "BLKSEQ.*core.v:8"),
    ],
    ids=["undeclared", "mixed assignments"],
)
def test_faulty_verilog_is_not_compiled(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    with pytest.raises(ToolError, match=f"verilator, building core: .*({message})"):
        simulator_of(change(CORE.replace("ACCEPTS", "1")), tmp_path)


@pytest.mark.slow
def test_tap_of_a_missing_layer(tmp_path: Path) -> None:
    core = design(graph_of(random_network([4, 2]), [Fold(1, 2)]), tmp_path / "amaranth")
    (tmp_path / "core.v").write_text(replace(core).verilog)
    with pytest.raises(ToolError, match="verilator, building core"):
        CoreSimulator(
            tmp_path / "core.v",
            core.interface,
            work=tmp_path / "simulator",
            log=tmp_path / "log",
            taps=(Tap("threshold9", 1, 3),),
        )
