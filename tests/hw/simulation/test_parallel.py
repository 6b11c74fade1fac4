"""The parallel shell: widths from pins, register stages, and whole chips driven at their pins."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import CapacityError, FrameError, ToolError
from hw.boards.board import CONTROL_PINS, Board
from hw.boards.boards import find
from hw.interface import CoreInterface, StreamFormat
from hw.shells.chip import build_plan, chip_verilog
from hw.shells.parallel import Skid
from hw.shells.port import PortWidths, parallel_port, pins_json, port_pins
from hw.simulation import netlist, parallel_board
from hw.simulation.simulate import Simulation
from tests.hw.conftest import OPEN_BOARDS

boards = pytest.mark.parametrize("board", OPEN_BOARDS, ids=lambda board: board.name)
DIGITS = CoreInterface(StreamFormat((64,), "uint8", 8), StreamFormat((10,), "int16", 1))


def interface(in_lanes: int, out_dtype: str, out_lanes: int) -> CoreInterface:
    return CoreInterface(StreamFormat((4, 6, 1), "uint8", in_lanes), StreamFormat((6,), out_dtype, out_lanes))


# Widths and pins


@pytest.mark.parametrize(
    ("name", "io", "port"),
    [
        ("icebreaker", DIGITS, PortWidths(8, 8, 8, 2)),
        ("hx8k", DIGITS, PortWidths(64, 16, 1, 1)),
        ("ulx3s-85f", DIGITS, PortWidths(32, 8, 2, 2)),
        ("orangecrab", DIGITS, PortWidths(8, 4, 8, 4)),
        ("orangecrab", interface(1, "uint8", 1), PortWidths(8, 4, 1, 2)),
        ("ulx3s-85f", interface(3, "int32", 1), PortWidths(24, 16, 1, 2)),
    ],
)
def test_widths(name: str, io: CoreInterface, port: PortWidths) -> None:
    assert parallel_port(find(name), io) == port


@given(
    st.sampled_from(OPEN_BOARDS),
    st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]),
    st.sampled_from(["uint8", "int16", "int32"]),
    st.sampled_from([1, 2, 3, 6]),
)
def test_widths_divide_the_words_and_fit_the_pins(board: Board, i: int, dtype: str, o: int) -> None:
    io = interface(i, dtype, o)
    port = parallel_port(board, io)
    assert (port.in_bits * port.in_beats, port.out_bits * port.out_beats) == (
        io.input.word_bits,
        io.output.word_bits,
    )
    assert port.in_bits + port.out_bits + len(CONTROL_PINS) <= board.budget.io_pins
    # Of two streams that cannot both be wide, the one that takes longer gets the pins.
    slowest = max(io.input.words * port.in_beats, io.output.words * port.out_beats)
    for bits in range(1, board.budget.stream_bits):
        other = board.budget.stream_bits - bits
        if io.input.word_bits % bits == 0 and io.output.word_bits % other == 0:
            assert slowest <= max(24 * 8 // bits, 6 * io.output.item_bits // other)


def test_too_few_pins() -> None:
    taken = tuple(pin.position for pin in find("orangecrab").user_pins()[8:])
    small = replace(find("orangecrab"), reserved=taken)
    with pytest.raises(CapacityError, match="needs 9 pins or more, orangecrab has 8 free on conn"):
        parallel_port(small, DIGITS)
    assert parallel_port(replace(small, reserved=taken[1:]), DIGITS) == PortWidths(1, 1, 64, 16)


@boards
def test_pins_are_the_boards_own_and_in_the_constraints(board: Board) -> None:
    pins = port_pins(board, parallel_port(board, DIGITS))
    used = [each.pin for each in pins]
    assert len(set(used)) == len(used) and set(used) <= set(board.user_pins())
    plan = build_plan(board, "module core; endmodule\n", DIGITS, b"", shell="parallel")
    constraints = plan.files[f"top{board.toolchain.constraints}"]
    for each in pins:
        signal, _, bit = each.signal.partition("[")
        name = f"parallel_0__{signal}__io" + (f"[{bit}" if bit else "")
        wanted = {
            "ice40": f"set_io {name} {each.pin.package_pin}\n",
            "ecp5": f'LOCATE COMP "{name}" SITE "{each.pin.package_pin}";\n',
        }
        assert wanted[board.family.name] in constraints
    assert "uart" not in constraints
    assert (
        plan.digest()
        == build_plan(board, "module core; endmodule\n", DIGITS, b"other", shell="parallel").digest()
    )


def test_pins_file() -> None:
    found = json.loads(pins_json(find("icebreaker"), DIGITS, "parallel"))
    assert found["input"] == {"bits": 8, "beats_per_word": 8, "beats_per_frame": 64}
    assert found["output"] == {"bits": 8, "beats_per_word": 2, "beats_per_frame": 20}
    assert found["clock_hz"] == 12_000_000 and len(found["pins"]) == 23
    assert found["pins"][0] == {
        "signal": "in_data[0]",
        "direction": "in",
        "pin": {"connector": "pmod_0", "position": "1", "package_pin": "4"},
    }
    directions = {each["signal"].split("[")[0]: each["direction"] for each in found["pins"]}
    assert {signal for signal, direction in directions.items() if direction == "in"} == {
        "in_data",
        "in_valid",
        "out_ready",
        "reset_n",
    }


@pytest.mark.parametrize(("name", "signals"), [("icebreaker", []), ("orangecrab", ["rx", "tx"])])
def test_pins_file_of_the_serial_shell(name: str, signals: list[str]) -> None:
    found = json.loads(pins_json(find(name), DIGITS, "uart"))
    assert found["shell"] == "uart" and found["baud"] == 1_000_000
    assert [each["signal"] for each in found["pins"]] == signals


# The register stage


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(0, 1000))
def test_skid_keeps_every_word(stall_in: int, stall_out: int, seed: int) -> None:
    got, cycles = through_skid(list(range(100)), stall_in, stall_out, seed)
    assert got == list(range(100))
    if stall_in == stall_out == 0:
        assert cycles == 102  # ready a cycle after the reset, and a word a cycle from there


def through_skid(words: list[int], stall_in: int, stall_out: int, seed: int) -> tuple[list[int], int]:
    dut, rng = Skid(8), random.Random(seed)
    got: list[int] = []
    spent = 0

    async def bench(ctx: Any) -> None:
        nonlocal spent
        sent, offering, waiting = 0, False, None
        while len(got) < len(words):
            offering = offering or (sent < len(words) and rng.randrange(100) >= stall_in)
            ctx.set(dut.i.valid, offering)
            ctx.set(dut.i.payload, words[sent] if offering else 0xAA)
            ctx.set(dut.o.ready, rng.randrange(100) >= stall_out)
            _, _, taken, valid, ready, word = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, dut.o.ready, dut.o.payload
            )
            spent += 1
            if offering and taken:
                sent, offering = sent + 1, False
            assert waiting is None or (valid and word == waiting)  # an offer stands
            waiting = word if valid and not ready else None
            if valid and ready:
                got.append(word)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return got, spent


# Whole chips

# Running sums of a frame's words, modulo the output's words, with pauses; a frame of nothing but 0xFF words
# is never answered.
CORE = """
module core(input clk, input rst, input [{i_bits}-1:0] s_axis_tdata, input s_axis_tvalid,
            output s_axis_tready, output [{o_bits}-1:0] m_axis_tdata, output m_axis_tvalid,
            input m_axis_tready);
  reg [{o_bits}-1:0] sums [0:{o_words}-1];
  reg [7:0] taken = 0, given = 0, pause = 0;
  reg dead = 1;
  wire full = taken == {i_words};
  integer k;
  initial for (k = 0; k < {o_words}; k = k + 1) sums[k] = 0;
  assign s_axis_tready = !full && pause == 0;
  assign m_axis_tvalid = full && pause == 0 && !dead;
  assign m_axis_tdata = sums[given];
  always @(posedge clk) begin
    if (pause != 0) pause <= pause - 1;
    if (s_axis_tvalid && s_axis_tready) begin
      sums[taken % {o_words}] <= sums[taken % {o_words}] + s_axis_tdata;
      taken <= taken + 1;
      dead <= dead && &s_axis_tdata;
      pause <= taken % 4 == 3 ? 3 : 0;
    end
    if (m_axis_tvalid && m_axis_tready) given <= given + 1;
    if (rst || m_axis_tvalid && m_axis_tready && given == {o_words} - 1) begin
      taken <= 0; given <= 0; pause <= 0; dead <= 1;
      for (k = 0; k < {o_words}; k = k + 1) sums[k] <= 0;
    end
  end
endmodule
"""


def drive(
    io: CoreInterface, port: PortWidths, frames: NDArray[np.uint8], work: Path, stall_percent: int
) -> Simulation:
    core = CORE.format(
        i_bits=io.input.word_bits,
        o_bits=io.output.word_bits,
        i_words=io.input.words,
        o_words=io.output.words,
    )
    (work / "core.v").write_text(core)
    (work / "chip.v").write_text(chip_verilog(io, b"", work / "chip", port=port))
    model = netlist.ChipModel((work / "chip.v", work / "core.v"), "chip")
    return parallel_board.run(
        model,
        frames,
        io,
        port,
        work=work / "simulator",
        log=work / "log",
        stall_percent=stall_percent,
        seed=3,
    )


def expected(io: CoreInterface, frames: NDArray[np.uint8]) -> NDArray[Any]:
    mask = (1 << io.output.word_bits) - 1
    size, data = io.input.word_bits // 8, b""
    for frame in frames:
        raw = io.input.to_bytes(frame)
        words = [int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size)]
        for lane in range(io.output.words):
            data += (sum(words[lane :: io.output.words]) & mask).to_bytes(io.output.word_bits // 8, "little")
    return io.output.from_bytes(data)


def some_frames(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (count, 4, 6, 1)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("io", "port"),
    [
        (interface(1, "int16", 1), PortWidths(8, 16, 1, 1)),
        (interface(1, "int32", 1), PortWidths(1, 1, 8, 32)),
        (interface(3, "int16", 1), PortWidths(12, 4, 2, 4)),
        (interface(3, "uint8", 1), PortWidths(3, 8, 8, 1)),
        (interface(12, "int32", 3), PortWidths(96, 48, 1, 2)),
    ],
    ids=["whole words", "one pin each", "beats", "odd beats", "wider than 64 bits"],
)
def test_chip(io: CoreInterface, port: PortWidths, tmp_path: Path) -> None:
    frames = some_frames(30)
    for stall_percent in (0, 40):
        found = drive(io, port, frames, tmp_path, stall_percent)
        np.testing.assert_array_equal(found.outputs, expected(io, frames))
        assert found.outputs.dtype == io.output.dtype and len(found.last_out) == 30


@pytest.mark.slow
def test_shell_keeps_the_cores_rate(tmp_path: Path) -> None:
    """24 words in with a pause of three cycles after each fourth, six words out, and the core starts anew."""
    found = drive(interface(1, "int16", 1), PortWidths(8, 16, 1, 1), some_frames(20), tmp_path, 0)
    assert found.interval == 24 + 6 * 3 + 6


@pytest.mark.slow
def test_chip_that_never_answers(tmp_path: Path) -> None:
    frames = np.full((1, 4, 6, 1), 255, np.uint8)
    with pytest.raises(ToolError, match=r"driving the parallel port.*stuck after 24 beats in, 0 out"):
        drive(interface(1, "int16", 1), PortWidths(8, 16, 1, 1), frames, tmp_path, 0)


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_wrong_frames(tmp_path: Path) -> None:
    io, frames = interface(1, "int16", 1), np.zeros((1, 24), np.uint8)
    with pytest.raises(FrameError, match=r"frames are uint8 \(24,\), the core takes uint8 \(4, 6, 1\)"):
        parallel_board.run(
            netlist.ChipModel((), "chip"),
            frames,
            io,
            PortWidths(8, 16, 1, 1),
            work=tmp_path,
            log=tmp_path / "log",
        )


# What the master notices

ECHO = """
module chip(input clk, input reset_n, output clk_out, input [7:0] in_data, input in_valid, output in_ready,
            output [7:0] out_data, output out_valid, input out_ready, output out_last);
  reg [7:0] word = 0;
  reg full = 0, running = 0, blink = 0;
  reg [1:0] place = 0;
  assign clk_out = {clk_out};
  assign in_ready = {in_ready};
  assign out_data = {out_data};
  assign out_valid = {out_valid};
  assign out_last = {out_last};
  always @(posedge clk) begin
    running <= reset_n;
    blink <= ~blink;
    if (out_valid && out_ready) begin full <= 0; place <= place + 1; end
    if (in_valid && in_ready) begin full <= 1; word <= in_data; end
    if (!reset_n) begin full <= 0; place <= 0; end
  end
endmodule
"""
FAULTLESS = {
    "clk_out": "clk",
    "in_ready": "running & ~full",
    "out_data": "word",
    "out_valid": "full",
    "out_last": "place == 3",
}


def echo(work: Path, **faults: str) -> Simulation:
    io = CoreInterface(StreamFormat((4,), "uint8", 1), StreamFormat((4,), "uint8", 1))
    (work / "chip.v").write_text(ECHO.format(**FAULTLESS | faults))
    return parallel_board.run(
        netlist.ChipModel((work / "chip.v",), "chip"),
        np.arange(40, dtype=np.uint8).reshape(10, 4),
        io,
        PortWidths(8, 8, 1, 1),
        work=work / "simulator",
        log=work / "log",
        stall_percent=50,
        optimize="-O0",
    )


@pytest.mark.slow
def test_faultless_chip(tmp_path: Path) -> None:
    np.testing.assert_array_equal(echo(tmp_path).outputs, np.arange(40).reshape(10, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal", "fault", "complaint"),
    [
        ("clk_out", "1'b1", "clk_out is not the clock"),
        ("in_ready", "~full", "in_ready or out_valid in reset"),
        ("in_ready", "1'b0", "the chip takes nothing after its reset"),
        ("out_data", "word ^ {8{blink}}", "out_data changed before out_ready"),
        ("out_valid", "full & blink", "out_valid fell before out_ready"),
        ("out_last", "place == 2", "out_last in the wrong place"),
    ],
)
def test_faults(signal: str, fault: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"driving the parallel port: exit code 3: error: {complaint}"):
        echo(tmp_path, **{signal: fault})
