"""Netlists and decompiled bitstreams behind the virtual board, against the network; models of ECP5 cells."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2
from numpy.typing import NDArray

from common.errors import ToolError, ToolMissingError
from hw.boards.boards import find
from hw.boards.families import ice40
from hw.core.verilog import to_verilog
from hw.host.host import Link
from hw.implementation import bitstream
from hw.kernels.selection import select
from hw.shells.port import parallel_port
from hw.simulation import netlist, parallel_board, verilator, virtual_board
from hw.simulation.netlist import ChipModel
from hw.tools.tools import run_yosys
from tests.hw.conftest import Built
from tests.hw.networks import random_frames

SAMPLES = 16

DECOMPILER = pytest.mark.skipif(
    shutil.which(ice40.DECOMPILER.name) is None, reason=f"{ice40.DECOMPILER.name} is not installed"
)


def infer(built: Built, model: ChipModel, work: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the chip gives over its serial link, and what the network gives."""
    board, log = built.board, work / "log"
    executable = virtual_board.build(
        model,
        work=work / "simulator",
        log=log,
        clocks_per_bit=board.clocks_per_bit,
        optimize="-O0",
    )
    frames = random_frames(SAMPLES, built.network.inputs)
    with (
        virtual_board.VirtualBoard(executable, log) as running,
        Link(running.port, board.baud, timeout=120) as link,
    ):
        link.expect(built.identity)
        outputs = link.infer(frames, built.design.interface)
    return outputs, built.network.forward(frames)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s"])
def test_netlist_equals_the_network(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    built: Built = request.getfixturevalue(name)
    model = netlist.netlist_model(built.board, built.folder / bitstream.NETLIST, tmp_path, tmp_path / "log")
    outputs, expected = infer(built, model, tmp_path)
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.slow
def test_netlist_has_memories_of_several_widths(ulx3s: Built) -> None:
    top = json.loads((ulx3s.folder / bitstream.NETLIST).read_text())["modules"]["top"]
    widths = {
        int(cell["parameters"]["DATA_WIDTH_A"], 2)
        for cell in top["cells"].values()
        if cell["type"] == "DP16KD"
    }
    assert widths >= {4, 18, 36}


@pytest.mark.slow
@DECOMPILER
def test_bitstream_equals_the_network(icebreaker: Built, tmp_path: Path) -> None:
    model = netlist.bitstream_model(
        icebreaker.board, icebreaker.bitstream, icebreaker.constraints, tmp_path, tmp_path / "log"
    )
    outputs, expected = infer(icebreaker, model, tmp_path)
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.slow
@DECOMPILER
def test_bitstream_with_the_parallel_shell_equals_the_network(icebreaker: Built, tmp_path: Path) -> None:
    board, io, log = icebreaker.board, icebreaker.design.interface, tmp_path / "log"
    bitstream.synthesize(
        board, icebreaker.core, io, icebreaker.identity, work=tmp_path, log=log, shell="parallel"
    )
    bitstream.place_and_route(board, work=tmp_path, log=log, seed=1)
    packed, constraints = bitstream.pack(board, work=tmp_path, log=log), tmp_path / "top.pcf"
    work = tmp_path / "model"
    work.mkdir()
    model = netlist.bitstream_model(board, packed, constraints, work, log, shell="parallel")
    frames = random_frames(SAMPLES, icebreaker.network.inputs)
    found = parallel_board.run(
        model,
        frames,
        io,
        parallel_port(board, io),
        work=work / "simulator",
        log=log,
        stall_percent=30,
        optimize="-O0",
    )
    np.testing.assert_array_equal(found.outputs, icebreaker.network.forward(frames))


# One flipped bit


def weight_bits(built: Built, layer: str) -> list[str]:
    """Contents of the block RAM of a layer's weights in the netlist: 16 rows of 256 digits 0, 1 or x.

    Proof that it holds them: as many bits set as in the words that the kernel has in its ROM.
    """
    top = json.loads((built.folder / bitstream.NETLIST).read_text())["modules"]["top"]
    (cell,) = [
        cell
        for name, cell in top["cells"].items()
        if f".{layer}.weights." in name and cell["type"] == "SB_RAM40_4K"
    ]
    rows = [cell["parameters"][f"INIT_{row:X}"] for row in range(16)]
    spec = next(instance.spec for instance in select(built.graph) if instance.name == layer)
    words = spec.products.words()
    assert "".join(rows).count("1") == sum(word.bit_count() for word in words)
    return rows


def flip_weight_bit(text: str, rows: list[str], word: int) -> str:
    """An unpacked bitstream with the lowest set bit of a 16-bit word of that block RAM cleared."""
    lines = [f"{int(row.replace('x', '0'), 2):064x}" for row in rows]
    block = re.search("\n".join(lines), text)
    assert block is not None and text.count(block[0]) == 1
    assert text[: block.start()].splitlines()[-1].startswith(".ram_data ")
    row, place = divmod(word, 16)
    value = int(lines[row], 16)
    bits = (value >> (16 * place)) & 0xFFFF
    assert bits
    lines[row] = f"{value & ~((bits & -bits) << (16 * place)):064x}"
    return text[: block.start()] + "\n".join(lines) + text[block.end() :]


@pytest.mark.slow
@DECOMPILER
@pytest.mark.usefixtures("unbuilt")
def test_one_flipped_weight_bit_shows(icebreaker: Built, tmp_path: Path) -> None:
    """Class 0 goes wrong, and no other: the bit belongs to that neuron of the last layer."""
    last = icebreaker.graph.layers[-1].name
    (tmp_path / "top.bin").write_bytes(icebreaker.bitstream.read_bytes())
    bitstream.unpack_file(
        find("icebreaker").toolchain, "top.bin", "unpacked.asc", work=tmp_path, log=tmp_path / "log"
    )
    unpacked = (tmp_path / "unpacked.asc").read_text()
    flipped = flip_weight_bit(unpacked, weight_bits(icebreaker, last), word=1)
    assert sum(a != b for a, b in zip(unpacked, flipped, strict=True)) == 1
    (tmp_path / "flipped.asc").write_text(flipped)
    bitstream.pack_file(
        find("icebreaker").toolchain, "flipped.asc", "flipped.bin", work=tmp_path, log=tmp_path / "log"
    )
    work = tmp_path / "model"
    work.mkdir()
    model = netlist.bitstream_model(
        icebreaker.board, tmp_path / "flipped.bin", icebreaker.constraints, work, work / "log"
    )
    outputs, expected = infer(icebreaker, model, work)
    wrong = outputs != expected
    assert wrong[:, 0].sum() > 0 and not wrong[:, 1:].any()


# Unpacking


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s"])
def test_repacks_to_the_same_bytes(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    built: Built = request.getfixturevalue(name)
    assert netlist.repacks(built.board, built.bitstream, tmp_path, tmp_path / "log")


@pytest.mark.slow
def test_truncated_bitstream(icebreaker: Built, tmp_path: Path) -> None:
    path = tmp_path / "cut.bin"
    path.write_bytes(icebreaker.bitstream.read_bytes()[:5000])
    with pytest.raises(ToolError, match=r"ice(un)?pack"):
        netlist.repacks(icebreaker.board, path, tmp_path, tmp_path / "log")


def test_only_ice40_is_decompiled(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no decompiler for ECP5 bitstreams"):
        netlist.bitstream_model(find("ulx3s-85f"), tmp_path / "b", tmp_path / "c", tmp_path, tmp_path / "log")


def test_decompiler_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"icebox_vlog .* is not on this machine: apt-get install"):
        netlist.decompile(find("icebreaker"), tmp_path / "unpacked.asc", tmp_path, tmp_path / "log")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, r"not Verilog of icebox_vlog's \(.*exit code 0 but no module top"),
        (1, "exit code 1: nothing of use"),
    ],
)
def test_decompiler_that_prints_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    fake, work, log = tmp_path / ice40.DECOMPILER.name, tmp_path / "work", tmp_path / "log"
    fake.write_text(f"#!/bin/sh\necho nothing of use\nexit {code}\n")
    fake.chmod(0o755)
    work.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ToolError, match=rf"^(icebox_vlog unpacked\.asc|{log}): {told}"):
        netlist.decompile(find("icebreaker"), work / "unpacked.asc", work, log)
    assert "nothing of use" in log.read_text(), "the work folder may be gone when the message is read"


def test_ports_declared_once() -> None:
    header = "module top (input a, output [1:0] \\b , input c);\n"
    text = header + "wire a, n1, \\b[0] , c;\nwire a;\nwire n2;\nendmodule\n"
    assert netlist._declared_once(text) == header + "wire n1, \\b[0] ;\n\nwire n2;\nendmodule\n"


# ECP5's block RAM

WIDTHS_AND_DEPTHS = [
    (1, 16384),
    (2, 8192),
    (4, 4096),
    (9, 2048),
    (18, 1024),
    (36, 512),
    (5, 4096),
    (40, 1024),
]


class Memories(wiring.Component):
    """Memories of every width behind the same addresses: a ROM, a RAM with a port each way, one with two."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.contents = {}
        for width, depth in WIDTHS_AND_DEPTHS:
            words = [0] * depth
            for at in rng.integers(0, depth, 600).tolist():
                words[at] = int.from_bytes(rng.bytes(5)) >> (40 - width)
            words[0] = words[-1] = (1 << width) - 1
            self.contents[width, depth] = words
        outputs = {
            f"{name}_{width}": Out(width)
            for width, _ in WIDTHS_AND_DEPTHS
            for name in ("rom", "ram", "two_a", "two_b")
        }
        super().__init__(
            {
                "a": In(14),
                "b": In(14),
                "data": In(40),
                "read": In(1),
                "write_a": In(1),
                "write_b": In(1),
                **outputs,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for (width, depth), init in self.contents.items():
            self._rom(m, width, depth, init)
            self._ram(m, width, depth, init)
            self._two(m, width, 1 << ceil_log2(depth))
        return m

    def _memory(self, m: Module, name: str, width: int, depth: int, init: list[int]) -> memory.Memory:
        made = memory.Memory(shape=width, depth=depth, init=init, attrs={"ram_style": "block"})
        m.submodules[f"{name}_{width}"] = made
        return made

    def _rom(self, m: Module, width: int, depth: int, init: list[int]) -> None:
        port = self._memory(m, "rom", width, depth, init).read_port()
        m.d.comb += [
            port.addr.eq(self.a),
            port.en.eq(self.read),
            getattr(self, f"rom_{width}").eq(port.data),
        ]

    def _ram(self, m: Module, width: int, depth: int, init: list[int]) -> None:
        made = self._memory(m, "ram", width, depth, init)
        # 36 bits are written in parts, as the chip's byte enables have it.
        write = made.write_port(granularity=9 if width % 9 == 0 else None)
        read = made.read_port()
        enables = [self.write_a & self.data[lane] for lane in range(1, len(write.en))]
        m.d.comb += [
            write.addr.eq(self.b),
            write.data.eq(self.data),
            *[bit.eq(enable) for bit, enable in zip(write.en, [self.write_a, *enables], strict=True)],
            read.addr.eq(self.a),
            read.en.eq(self.read),
            getattr(self, f"ram_{width}").eq(read.data),
        ]

    def _two(self, m: Module, width: int, depth: int) -> None:
        """Both ports read and write; they never meet, since their addresses differ in the highest bit."""
        made = self._memory(m, "two", width, depth, [])
        bits = ceil_log2(depth)
        for name, address, enable in (
            ("a", self.a[:bits], self.write_a),
            ("b", Cat(self.b[: bits - 1], ~self.a[bits - 1]), self.write_b),
        ):
            write = made.write_port()
            read = made.read_port(transparent_for=[write] if width in (2, 18) else [])
            m.d.comb += [
                write.addr.eq(address),
                write.data.eq(self.data if name == "a" else ~self.data),
                write.en.eq(enable),
                read.addr.eq(address),
                read.en.eq(self.read),
                getattr(self, f"two_{name}_{width}").eq(read.data),
            ]


MEMORY_BENCH = """
module bench(input clk);
  reg [13:0] a = 0, b = 0;
  reg [39:0] data = 0;
  reg read = 1, write_a = 0, write_b = 0;
  reg [31:0] cycle = 0;
  reg [95:0] noise = 96'h123456789abcdef012345678;
  {wires}
  rtl rtl(.clk(clk), .rst(1'b0), .a(a), .b(b), .data(data), .read(read), .write_a(write_a),
          .write_b(write_b) {rtl});
  memories netlist(.clk(clk), .rst(1'b0), .a(a), .b(b), .data(data), .read(read), .write_a(write_a),
                   .write_b(write_b) {netlist});
  integer i;
  always @(posedge clk) begin
    // First the whole memory, unwritten; then mostly the same few words.
    for (i = 0; i < 96; i = i + 1) noise = {{noise[94:0], noise[95] ^ noise[93] ^ noise[48] ^ noise[46]}};
    cycle <= cycle + 1;
    a <= cycle < 16384 ? cycle[13:0] : cycle[0] ? noise[13:0] : noise[13:0] & 14'h001f;
    b <= cycle[2:0] == 0 ? a : cycle[1:0] == 1 ? noise[27:14] : noise[27:14] & 14'h001f;
    data <= noise[67:28];
    read <= cycle < 16384 || noise[69:68] != 0;
    write_a <= cycle >= 16384 && noise[70];
    write_b <= cycle >= 16384 && noise[71];
    {checks}
    if (cycle == 40000) $display("done");
  end
endmodule
"""

DRIVE = """
#include "Vtop.h"
#include "verilated.h"
int main() {
    VerilatedContext context;
    Vtop top{&context};
    for (int edge = 0; edge < 2 * 40002; edge++) { top.clk = edge & 1; top.eval(); }
    return 0;
}
"""


def memory_bench(component: Memories) -> str:
    members = component.signature.members.items()
    outputs = [(name, member.shape) for name, member in members if member.flow is Out]
    checks = [f'if (r_{name} != n_{name}) $display("{name} in cycle %0d", cycle);' for name, _ in outputs]
    return MEMORY_BENCH.format(
        wires=" ".join(f"wire [{width}-1:0] r_{name}, n_{name};" for name, width in outputs),
        rtl="".join(f", .{name}(r_{name})" for name, _ in outputs),
        netlist="".join(f", .{name}(n_{name})" for name, _ in outputs),
        checks="\n    ".join(checks),
    )


@pytest.fixture(scope="module")
def memories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `rtl.v`, `top.json`, the netlist of the same memories, and `bench.v` for both."""
    work = tmp_path_factory.mktemp("memories")
    component = Memories()
    text = to_verilog(component, "memories", None, work)
    (work / "bench.v").write_text(memory_bench(component))
    (work / "rtl.v").write_text(re.sub(r"\bmemories(?=\W|_)", "rtl", text))
    # Yosys takes a minute over all the zeros. A tenth of them will do: what is not said is 0 on the chip.
    (work / "memories.v").write_text(re.sub(r"\n *\w+\[\d*[1-9]\] = \d+'h0+;", "", text))
    script = ["read_verilog memories.v", *bitstream.synthesis(find("ulx3s-85f").toolchain, "memories", work)]
    run_yosys([*script, "write_json top.json"], cwd=work, log=work / "log", products=[Path("top.json")])
    return work


@pytest.mark.slow
def test_block_rams_of_every_width(memories: Path) -> None:
    cells = json.loads((memories / "top.json").read_text())["modules"]["memories"]["cells"].values()
    parameters = [cell["parameters"] for cell in cells if cell["type"] == "DP16KD"]
    for side in ("DATA_WIDTH_A", "DATA_WIDTH_B"):
        assert {int(found[side], 2) for found in parameters} >= {1, 2, 4, 9, 18, 36}


@pytest.mark.slow
def test_block_ram_model_equals_the_rtl(memories: Path) -> None:
    (memories / "drive.cpp").write_text(DRIVE)
    log = memories / "log"
    model = netlist.netlist_model(find("ulx3s-85f"), memories / "top.json", memories, log)
    simulator = verilator.build(
        [memories / "bench.v", memories / "rtl.v", *model.sources],
        top="bench",
        harness=memories / "drive.cpp",
        work=memories / "simulator",
        log=log,
        verilog_defines=model.defines,
        optimize="-O0",
    )
    printed = subprocess.run([simulator], capture_output=True, text=True, check=True).stdout
    assert printed == "done\n", printed[:2000]
