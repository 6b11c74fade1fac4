"""FINN's own RTL: written without AMD's tools, joined, and simulated against the dataflow form."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import LoweringError, ModelFileError, VerificationError
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.finn.rtl import ARCHIVE, FINN_RTL, GRAPH, FinnRtl, FinnStream, fixups, generate, sources
from hw.finn.rtl import nodes as nodes_module
from hw.finn.rtl.simulate import FinnSimulator
from hw.finn.rtl.top import Module, top
from tests.hw.networks import lowered, random_frames, random_network
from tests.hw.qonnx import Network

ZYNQ, KRIA = "xc7z020clg400-1", "xck26-sfvc784-2LV-c"


def made(model: Any, folder: Path, part: str = ZYNQ) -> FinnRtl:
    return generate(model, part=part, clock_hz=100e6, folder=folder, log=folder / "rtl.log")


def check(model: Any, folder: Path, part: str = ZYNQ, frames: int = 60) -> None:
    """Every frame, at full rate and stalled, against the dataflow form; the interval as FINN estimates it."""
    rtl = made(model, folder, part)
    graph = read(model)
    x = random_frames(frames, int(np.prod(graph.shape)))
    expected = graph.execute(x.astype(np.int64))
    work, log = folder / "simulation", folder / "simulation.log"
    simulator = FinnSimulator(folder, work=work, log=log, optimize="-O0")
    free = simulator.run(x)
    stalled = simulator.run(x, stall_percent=40, seed=3)
    assert np.array_equal(free.outputs, expected)
    assert np.array_equal(stalled.outputs, expected)
    assert np.ptp(expected) > 0
    assert free.interval == rtl.estimate.interval_cycles
    assert stalled.interval > free.interval


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "part"), [(4, ZYNQ), (2, KRIA)])
def test_dense_network(tmp_path: Path, bits: int, part: str) -> None:
    network = random_network([24, 12, 8, 5], weight_bits=bits, activation_bits=max(2, bits - 1), seed=bits)
    check(lowered(network, tmp_path, [Fold(4, 6), Fold(2, 3), Fold(1, 4)]), tmp_path, part)


@pytest.mark.slow
def test_convolution_with_padding_and_stride(tmp_path: Path) -> None:
    network = Network((8, 7, 2), seed=3)
    x = network.input()
    x = network.threshold(network.conv(x, 4, (3, 3), pads=(1, 1, 1, 1), stride=(2, 2)), 3)
    x = network.threshold(network.conv(x, 6, (3, 3), pads=(1, 1, 1, 1)), 2)
    path = network.save(network.dense(network.flatten(x), 5), tmp_path)
    folds = (Fold(2, 6), Fold(3, 4), Fold(1, 8))
    model = lower(path, folding=Folding(folds=folds), label=False, log=tmp_path / "finn.log")
    check(model, tmp_path)


@pytest.mark.slow
def test_archive_is_the_same_again_and_of_no_machine(tmp_path: Path) -> None:
    model = lowered(random_network([8, 6, 3]), tmp_path, [Fold(2, 4), Fold(1, 2)])
    rtl = made(model, tmp_path)
    first = [(tmp_path / name).read_bytes() for name in (ARCHIVE, FINN_RTL.name, GRAPH)]
    assert FINN_RTL.load(tmp_path) == rtl == made(model, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in (ARCHIVE, FINN_RTL.name, GRAPH)] == first
    assert b"retort-finn" not in first[2]
    with zipfile.ZipFile(tmp_path / ARCHIVE) as opened:
        texts = {name: opened.read(name).decode() for name in opened.namelist()}
    assert "finn.v" in texts and "MVAU_rtl_0_memblock.dat" in texts["MVAU_rtl_0_memstream_wrapper.v"]
    assert not [name for name, text in texts.items() if "retort-finn" in text or str(Path.home()) in text]
    assert [file for file, _ in rtl.changes] == ["add_multi.sv", "fifo.sv"]


@pytest.mark.slow
def test_layers_of_hls_alone_are_named(tmp_path: Path) -> None:
    model = lowered(random_network([8, 6, 3]), tmp_path, [Fold(2, 4), Fold(1, 2)], label=True)
    rtl = made(model, tmp_path)
    assert [node.kind for node in rtl.layers if node.implementation == "hls"] == ["LabelSelect"]
    assert rtl.missing == "FINN has no RTL of LabelSelect_hls_0 (LabelSelect): Vitis HLS makes it"
    with zipfile.ZipFile(tmp_path / ARCHIVE) as opened:
        names = opened.namelist()
    assert "mvu.sv" in names and "finn.v" not in names
    with pytest.raises(VerificationError, match="LabelSelect_hls_0"):
        FinnSimulator(tmp_path, work=tmp_path / "simulation", log=tmp_path / "log")


def test_other_version_of_finn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixups.metadata, "version", lambda _: "1.7.0")
    with pytest.raises(LoweringError, match=r"finn-plus 1\.7\.0: its Verilog is known as of 1\.6\.1"):
        made(None, tmp_path)
    assert not (tmp_path / ARCHIVE).exists()


def test_text_to_change_must_be_there_once() -> None:
    good = "typedef struct {"
    assert fixups.fixed({"fifo.sv": good, "other.sv": good}) == {
        "fifo.sv": "typedef struct packed {",
        "other.sv": good,
    }
    for text, times in (("typedef  struct {", 0), (good * 2, 2)):
        with pytest.raises(LoweringError, match=rf"fifo\.sv: 'typedef struct {{' is there {times} times"):
            fixups.fixed({"fifo.sv": text})


@pytest.mark.parametrize("signed", [False, True])
def test_words_of_odd_widths(signed: bool) -> None:
    stream = FinnStream(12, 3, 7, signed)
    assert (stream.words, stream.word_bytes) == (4, 3)
    low, high = (-64, 64) if signed else (0, 128)
    values = np.random.default_rng(0).integers(low, high, (5, 12))
    values[0, :2] = low, high - 1
    data = stream.to_bytes(values)
    assert len(data) == 5 * 4 * 3
    first = sum((int(value) & 127) << 7 * lane for lane, value in enumerate(values[0, :3]))
    assert data[:3] == first.to_bytes(3, "little")
    assert np.array_equal(stream.from_bytes(data), values)


def test_top_joins_streams_and_leaves_no_input_open() -> None:
    node = "module a (\n  (* X = 1 *)\n  input ap_clk, // clock\n  input [3:0] s_axilite_AWADDR,\n);"
    memory = "module b_memstream_wrapper (\n  input ap_clk,\n  input ap_clk2x,\n  output m_axis_0_tvalid);"
    text = top([Module("a", node, 8, 16), Module("b", node, 16, 24, (memory, 32))])
    assert "input [7:0] s_axis_tdata" in text and "output [23:0] m_axis_tdata" in text
    assert text.count(".s_axilite_AWADDR(0)") == 2
    assert ".ap_clk2x(clk)" in text
    assert text.count("stream_0_tready") == 3  # declared, given, taken
    assert ".in1_V_TVALID(b_weights_tvalid)" in text and ".m_axis_0_tvalid(b_weights_tvalid)" in text


def test_a_joint_is_no_row() -> None:
    from onnx import TensorProto, helper
    from qonnx.core.modelwrapper import ModelWrapper

    def row(*wires: tuple[str, ...]) -> None:
        nodes = [
            helper.make_node("Sum", taken, [given], name=f"n{place}")
            for place, (*taken, given) in enumerate(wires)
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
        nodes_module.require_row(
            ModelWrapper(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))
        )

    row(("x", "a"), ("a", "y"))
    for wires in ((("x", "a"), ("x", "y")), (("x", "a"), ("x", "a", "y"))):
        with pytest.raises(LoweringError, match="n1: is not in a row"):
            row(*wires)


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / FINN_RTL.name).write_text("{}")
    with pytest.raises(ModelFileError, match=r"finn_rtl.json: .*; run `retort build` again"):
        FINN_RTL.load(tmp_path)
    (tmp_path / ARCHIVE).write_text("PK")
    with pytest.raises(ModelFileError, match="no archive of Verilog"):
        sources.unpack(tmp_path / ARCHIVE, tmp_path / "sources")
