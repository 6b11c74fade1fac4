import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.errors import ToolError
from hw.boards.boards import find
from hw.implementation.floorplan import BETWEEN, OTHER, REST, SHELL, draw, part_of
from hw.tools.tools import run, run_yosys

ICE40, ECP5 = (find(name).toolchain.drawing for name in ("icebreaker", "orangecrab"))

SVG = "{http://www.w3.org/2000/svg}"


def write(path: Path, cells: dict[str, tuple[str, str | None]], chip: str = "up5k") -> Path:
    """As `nextpnr --write` does, of cells given by name with type and BEL."""
    entries = {
        name: {"type": kind, "attributes": {"NEXTPNR_BEL": bel} if bel else {}}
        for name, (kind, bel) in cells.items()
    }
    settings = {"arch.type": chip, "arch.package": "sg48"}
    path.write_text(json.dumps({"modules": {"top": {"settings": settings, "cells": entries}}}))
    return path


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def corners(svg: str) -> list[tuple[int, int]]:
    drawn = [path.get("d", "") for path in ElementTree.fromstring(svg).iter(f"{SVG}path")]
    found = re.findall(r"M(-?\d+) (-?\d+)h", " ".join(drawn))
    return [(int(x), int(y)) for x, y in found]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("shell.core.mvau_0.acc_SB_DFF_Q_3_DFFLC", "mvau_0"),
        ("core.mvau_0.replay.ram.0.1_RAM", "mvau_0"),
        ("core.ready_SB_LUT4_I3_LC", BETWEEN),
        ("shell.link.crc.step_SB_LUT4_O_LC", SHELL),
        ("uart.tx_SB_DFF_Q_DFFLC", SHELL),
        ("rx$sb_io", OTHER),
        ("$nextpnr_ICESTORM_LC_3", OTHER),
        ("$gbuf_core.mvau_0.enable", OTHER),
        ("$abc$12.3.core.x.y", OTHER),
    ],
)
def test_parts(name: str, part: str) -> None:
    assert part_of(name) == part


def test_ice40(tmp_path: Path) -> None:
    cells: dict[str, tuple[str, str | None]] = {
        "shell.core.mvau_0.a_LC": ("ICESTORM_LC", "X1/Y1/lc0"),
        "shell.core.mvau_0.b_LC": ("ICESTORM_LC", "X1/Y1/lc7"),
        "shell.core.mvau_0.ram": ("ICESTORM_RAM", "X6/Y3/ram"),
        "shell.link.c_LC": ("ICESTORM_LC", "X24/Y30/lc0"),
        "rx$sb_io": ("SB_IO", "X16/Y0/io0"),
        "$PACKER_GND": ("GND", None),
    }
    svg = draw(write(tmp_path / "placed.json", cells), ICE40)
    assert texts(svg) == [
        "up5k-sg48",
        "in all: 3 logic, 1 RAM, 1 I/O",
        "mvau_0: 2 logic, 1 RAM",
        "shell: 1 logic",
        f"{OTHER}: 1 I/O",
    ]
    # Row 0 is at the bottom of 32; logic cell 0 at the bottom left of its tile, 7 at the top right.
    tile = (16, 30 * 16)
    assert (tile[0] + 1, tile[1] + 12) in corners(svg)
    assert (tile[0] + 8, tile[1]) in corners(svg)
    assert len(corners(svg)) == 5


def test_ecp5_enlarges_what_is_used(tmp_path: Path) -> None:
    cells: dict[str, tuple[str, str | None]] = {
        "core.mvau_0.a": ("TRELLIS_COMB", "X100/Y40/SLICEA.K0"),
        "core.mvau_0.b": ("TRELLIS_FF", "X100/Y40/SLICED.FF1"),
        "core.mvau_0.ram$RAMW_SLICE": ("TRELLIS_RAMW", "X100/Y40/SLICEC.RAMW"),
        "core.mvau_0.m": ("MULT18X18D", "X101/Y41/MULT18_0"),
        "core.mvau_0.n": ("MULT18X18D", "X101/Y41/MULT18_1"),
        "core.mvau_0.w": ("DP16KD", "X102/Y41/EBR0"),
    }
    svg = draw(write(tmp_path / "placed.json", cells, "lfe5u_85f"), ECP5)
    assert "mvau_0: 1 logic, 1 flip-flops, 1 RAM, 2 DSP" in texts(svg)
    assert "the part in use, enlarged" in texts(svg)
    assert sorted(corners(svg)) == [
        (1600, 640),
        (1612, 652),
        (1616, 657),
        (1624, 657),
        (1632, 657),
    ]


def test_more_layers_than_colours(tmp_path: Path) -> None:
    cells: dict[str, tuple[str, str | None]] = {
        f"core.layer_{layer}.x{index}_LC": ("ICESTORM_LC", f"X{layer + 1}/Y{index // 8 + 1}/lc{index % 8}")
        for layer in range(14)
        for index in range(30 - layer)
    }
    svg = draw(write(tmp_path / "placed.json", cells), ICE40)
    entries = texts(svg)[3:]
    assert entries[0] == "layer_0: 30 logic"
    assert entries[-1] == f"{REST}: {sum(30 - layer for layer in range(9, 14))} logic"
    assert len(entries) == 10


def test_is_compact_and_deterministic(tmp_path: Path) -> None:
    cells: dict[str, tuple[str, str | None]] = {
        f"core.layer_{index % 7}.x{index}_LC": (
            "ICESTORM_LC",
            f"X{index // 8 % 24 + 1}/Y{index // 192 + 1}/lc{index % 8}",
        )
        for index in range(5000)
    }
    first = draw(write(tmp_path / "placed.json", cells), ICE40)
    assert first == draw(write(tmp_path / "placed.json", dict(reversed(cells.items()))), ICE40)
    assert len(first) < 150_000
    assert len(corners(first)) == 5000


def test_unknown_chip_is_as_large_as_its_design(tmp_path: Path) -> None:
    svg = draw(write(tmp_path / "p.json", {"core.a.b": ("ICESTORM_LC", "X3/Y2/lc0")}, "lp1k"), ICE40)
    assert 'viewBox="0 0 64 48"' in svg


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "not a netlist of nextpnr's"),
        ("[]", "not a netlist of nextpnr's"),
        ('{"modules": {}}', "not a netlist of nextpnr's"),
        ('{"modules": {"top": {"cells": {}}}}', "NEXTPNR_BEL"),
        (
            '{"modules": {"top": {"cells": {"a": {"type": "X", "attributes": {"NEXTPNR_BEL": "R1C2"}}}}}}',
            "R1C2",
        ),
    ],
)
def test_errors(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "placed.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ToolError, match=message) as caught:
        draw(path, ICE40)
    assert "\n" not in str(caught.value)


DESIGN = """
module layer(input clk, input [7:0] a, output reg [7:0] q);
  reg [7:0] memory [0:511];
  reg [8:0] at = 0;
  always @(posedge clk) begin at <= at + 1; memory[at] <= a; q <= memory[~at]; end
endmodule
module core(input clk, input [7:0] a, output [7:0] q);
  layer mvau_0(.clk(clk), .a(a), .q(q));
endmodule
module link(input clk, input rx, output reg [7:0] q);
  reg [7:0] bits;
  always @(posedge clk) begin bits <= bits + rx; q <= bits; end
endmodule
module top(input clk, input rx, output tx);
  wire [7:0] a, q;
  link link(.clk(clk), .rx(rx), .q(a));
  core core(.clk(clk), .a(a), .q(q));
  assign tx = ^q;
endmodule
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chip"), [("icebreaker", "up5k"), ("orangecrab", "lfe5u_25f")])
def test_of_a_placed_design(tmp_path: Path, name: str, chip: str) -> None:
    board = find(name)
    (tmp_path / "top.v").write_text(DESIGN)
    log = tmp_path / "log"
    script = ["read_verilog top.v", f"{board.toolchain.synthesis.format(top='top')} -json top.json"]
    run_yosys(script, cwd=tmp_path, log=log, products=[Path("top.json")])
    argv = [*board.toolchain.nextpnr(), f"--{board.device}", "--package", board.package]
    argv += [board.toolchain.routed_option, "top.routed", "--json", "top.json", "--write", "placed.json"]
    run(argv, cwd=tmp_path, log=log, what="nextpnr", products=[Path("placed.json")])
    svg = draw(tmp_path / "placed.json", board.toolchain.drawing)
    legend = "\n".join(texts(svg))
    assert legend.startswith(chip)
    assert re.search(r"^mvau_0: .*\b1 RAM$", legend, re.MULTILINE)
    assert re.search(r"^shell: .*\b[1-9]\d* (logic|flip-flops)$", legend, re.MULTILINE)
    assert re.search(rf"^{OTHER}: .*\b3 I/O", legend, re.MULTILINE)
