"""What Yosys's `synth_xilinx` makes of FINN's RTL, layer by layer.

Counts are of synthesis: no open tool of those that Retort has places and routes these chips.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ToolError
from hw.finn.rtl import sources
from hw.finn.rtl.fixups import FOR_YOSYS, fixed
from hw.finn.rtl.top import NAME
from hw.tools import tools

READ = "read_slang --allow-use-before-declare --ignore-assertions --ignore-timing"
UNREAD = ("fifo_gauge.sv", "mvu_vvu_8sx9_dsp58.sv", f"{NAME}.v")
"""For simulation, for Versal, and the module that joins the layers, which are counted one by one."""
FAMILIES: Mapping[str, tuple[str, str]] = {
    "7-series": ("xc7", "DSP48E1"),
    "ultrascale+": ("xcup", "DSP48E2"),
}
"""Yosys's name of an architecture, and the DSP slice that FINN instantiates there."""
LUTS: Mapping[str, int] = {
    **dict.fromkeys(("INV", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2"), 1),
    **dict.fromkeys(("SRL16E", "SRLC32E", "RAM32X1S", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM128X1S", "RAM32X1D", "RAM64X1D"), 2),
    **dict.fromkeys(("RAM256X1S", "RAM128X1D", "RAM32M", "RAM64M"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8"), 8),
}
"""LUTs of a cell; an inverter is one where nothing takes it up; LUT RAM as in UG474 table 2-3, and UG574."""
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
HALVES: Mapping[str, int] = {"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2}
"""Block RAMs of 18 kbit."""
ULTRA_RAM, DSPS = "URAM288", ("DSP48E1", "DSP48E2")
FREE = ("CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "GND", "VCC", "$scopeinfo")
"""They come with the LUTs that they join, or are no cells."""
STAT, CELLS, COUNTED, TOP = Path("stat.json"), "amd_cells.v", "counted.v", "counted"
LIMIT = 2 * 3600.0
"""Seconds that Yosys may take."""


@dataclass(frozen=True)
class Cells:
    """What a layer takes.

    Attributes:
        luts: look-up tables.
        block_rams_18k: block RAMs of 18 kbit, of which a RAMB36 is two.
        ultra_rams: URAMs.
        dsps: DSP slices.
        flip_flops: null in FINN's estimates, which have none.
    """

    luts: int
    block_rams_18k: int
    ultra_rams: int
    dsps: int
    flip_flops: int | None = None

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Cells":
        """Of counted cells; raises `ToolError` at one of unknown cost."""
        for name, number in counts.items():
            if name not in (*LUTS, *FLIP_FLOPS, *HALVES, *FREE, *DSPS, ULTRA_RAM):
                raise ToolError(
                    f"yosys left {number} cells {name}, of unknown cost; take the version that is locked"
                )
        return cls(
            luts=sum(LUTS.get(name, 0) * number for name, number in counts.items()),
            flip_flops=sum(counts.get(name, 0) for name in FLIP_FLOPS),
            block_rams_18k=sum(HALVES.get(name, 0) * number for name, number in counts.items()),
            ultra_rams=counts.get(ULTRA_RAM, 0),
            dsps=sum(counts.get(name, 0) for name in DSPS),
        )


def count(
    archive: Path, layers: Sequence[str], architecture: str, *, work: Path, log: Path
) -> dict[str, Cells]:
    """What each of `layers`, of which `archive` has the RTL, takes; weight memories count with their layer.

    Ports that set weights and thresholds at run time are left out, as Vivado does with what is not joined.
    `work` is a new folder. Raises `ToolError` where Yosys fails, leaves a layer out or cells of unknown cost.
    """
    family, dsp = FAMILIES[architecture]
    files = _written(archive, work, (dsp, "LUT6_2"))
    modules = {layer: _modules(layer, files) for layer in layers}
    names = [name for each in modules.values() for name in each]
    instances = [f"  {name} {name}_inst ();" for name in names]
    (work / COUNTED).write_text("\n".join([f"module {TOP};", *instances, "endmodule", ""]))
    boxes, tops = (
        " ".join(f"--{option} {name}" for name in each)
        for option, each in (("blackboxed-module", (dsp, "LUT6_2")), ("top", names))
    )
    script = [
        f"{READ} {boxes} {tops} {CELLS} {' '.join(files)}",
        f"setattr -mod -set keep_hierarchy 1 -set keep 1 {' '.join(names)}",
        f"delete -input {' '.join(f'{name}/s_axi*' for name in names)}",
        "setundef -undriven -zero",
        f"read_verilog {COUNTED}",
        f"synth_xilinx -family {family} -noiopad -noclkbuf -flatten -top {TOP}",
        f"tee -q -o {STAT} stat -json",
    ]
    tools.run_yosys(script, cwd=work, log=log, products=[STAT], timeout=LIMIT)
    found = _read(work / STAT)
    return {layer: _of(layer, each, found, log) for layer, each in modules.items()}


def _written(archive: Path, work: Path, cells: Sequence[str]) -> list[str]:
    """FINN's files in `work`, as `read_slang` takes them, in its order; declarations of AMD's cells too."""
    texts = {path.name: path for path in sources.unpack(archive, work)}
    verilog = {
        name: path.read_text()
        for name, path in texts.items()
        if path.suffix in (".v", ".sv") and name not in UNREAD
    }
    for name, text in fixed(verilog, FOR_YOSYS).items():
        texts[name].write_text(text)
    (work / CELLS).write_text("\n".join(amd_cell(name) for name in cells))
    return sorted(verilog, key=lambda name: ("pkg" not in name, name))  # packages before those that use them


def amd_cell(name: str) -> str:
    """The declaration of a cell of AMD's, of Yosys's models: ports and parameters, no more.

    Raises `ToolError` where Yosys has none.
    """
    import pyosys

    share = Path(pyosys.__file__).parent / "share" / "xilinx"
    for file in ("cells_sim.v", "cells_xtra.v"):
        model = re.search(rf"^module {name}\b.*?^endmodule", (share / file).read_text(), re.M | re.S)
        if model:
            head, body = model[0].split(");", maxsplit=1)
            declared = re.findall(r"^ *(?:parameter|input|output|inout) .*;", body, re.M)
            return "\n".join([f"{head});", *declared, "endmodule\n"])
    raise ToolError(f"Yosys has no model of AMD's cell {name}; take the version that is locked")


def _modules(layer: str, files: Sequence[str]) -> tuple[str, ...]:
    """The modules of a layer: its own, and the memory that its weights stream from."""
    memory = f"{layer}_memstream_wrapper"
    return (layer, memory) if f"{memory}.v" in files else (layer,)


def _read(stat: Path) -> dict[str, dict[str, int]]:
    """Cells of each module."""
    with tools.reading(stat, "counts of Yosys's"):
        found = json.loads(stat.read_text())["modules"]
        return {
            name.lstrip("\\"): {cell: int(number) for cell, number in module["num_cells_by_type"].items()}
            for name, module in found.items()
        }


def _of(layer: str, modules: Sequence[str], found: Mapping[str, Mapping[str, int]], log: Path) -> Cells:
    total: Counter[str] = Counter()
    for name in modules:
        if not found.get(name):
            raise ToolError(f"yosys counted no cells of {name}, of layer {layer}; see {log}")
        total += Counter(found[name])
    return Cells.of(total)
