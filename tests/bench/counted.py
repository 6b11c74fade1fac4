"""What a chip family's cells a design takes, counted after Yosys and kept by content."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ToolError
from hw.finn.rtl import synthesis
from hw.implementation.bitstream import CHAINS as CHAINS_FILE
from hw.tools.tools import fingerprint, run_yosys

FLOWS = {
    "ecp5": "synth_ecp5 -top {top}",
    "ice40": "synth_ice40 -top {top}",
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf -top {top}",
}
CHAINS = (
    "hierarchy -top {top}",
    "proc",
    "flatten",
    "opt_expr",
    "opt_clean",
    "wreduce",
    "opt_clean",
    f"techmap -map {CHAINS_FILE}",
    "opt_clean",
)
LUTS: Mapping[str, Mapping[str, int]] = {
    # TRELLIS_COMB, as nextpnr counts: a CCU2C is two, 16 by 4 bits of RAM are four
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
    "ice40": {"SB_LUT4": 1},
    "xc7": synthesis.LUTS,
}
FLIP_FLOPS = ("TRELLIS_FF", "SB_DFF", "FDRE", "FDSE", "FDCE", "FDPE")
BLOCK_RAMS = {"DP16KD": 1, "PDPW16KD": 1, "SB_RAM40_4K": 1, "RAMB18E1": 1, "RAMB36E1": 2}
"""In blocks of 18 kbit; of 4 kbit in an iCE40."""
DSPS = ("MULT18X18D", "DSP48E1", "SB_MAC16")
FREE = ("PFUMX", "L6MUX21", "SB_CARRY", "CARRY4", "MUXF7", "MUXF8", "GND", "VCC", "$scopeinfo")
"""They come with the LUTs that they join, or are no cells."""
SOURCES = (".v", ".sv", ".svh", ".dat")
LIMIT = 3600.0
"""Seconds that Yosys may take for a design."""


@dataclass(frozen=True)
class Design:
    """The commands that read its Verilog, in its folder; its top module; cycles a frame, where known."""

    read: Sequence[str]
    top: str
    cycles: int | None


@dataclass(frozen=True)
class Area:
    """What Yosys made of a design."""

    lut: int
    ff: int
    ram: int
    dsp: int


def area(family: str, cells: Mapping[str, int]) -> Area:
    """Cells by what they take. Raises `ToolError` at a cell of unknown cost."""
    lut = ff = ram = dsp = 0
    for cell, count in cells.items():
        if cell in LUTS[family]:
            lut += count * LUTS[family][cell]
        elif cell.startswith(FLIP_FLOPS):
            ff += count
        elif cell.startswith(tuple(BLOCK_RAMS)):
            ram += count * next(blocks for name, blocks in BLOCK_RAMS.items() if cell.startswith(name))
        elif cell.startswith(DSPS):
            dsp += count
        elif cell not in FREE:
            raise ToolError(f"yosys left {count} cells {cell}, unknown for {family}: add them to {__file__}")
    return Area(lut, ff, ram, dsp)


def synthesize(family: str, design: Design, work: Path, kept: Path) -> Area:
    """What a design in `work` takes, out of `kept` or by Yosys, whose log stays there; raises `ToolError`."""
    lines = [*design.read, *CHAINS, FLOWS[family], "tee -q -o stat.json stat -json"]
    script = [line.format(top=design.top) for line in lines]
    found = kept / f"{_digest(script, work)}.json"
    if not found.exists():
        log, stat = found.with_suffix(".log"), work / "stat.json"
        run_yosys(script, cwd=work, log=log, products=[Path(stat.name)], timeout=LIMIT)
        part = found.with_suffix(".part")
        part.write_text(stat.read_text())
        part.replace(found)
    return area(family, json.loads(found.read_text())["design"]["num_cells_by_type"])


def _digest(script: Sequence[str], work: Path) -> str:
    """Of the commands, all sources in `work` but for paths in it, which FINN draws at random, and Yosys."""
    texts = [path.read_text() for path in work.rglob("*") if path.suffix in SOURCES and path.is_file()]
    sources = sorted(re.sub(rf"{re.escape(str(work))}[^\"\s]*", "", text) for text in texts)
    said = (list(script), sources, (CHAINS_FILE).read_text(), fingerprint("pyosys"))
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]
