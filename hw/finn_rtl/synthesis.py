"""What Yosys's `synth_xilinx` makes of FINN's RTL, layer by layer; no open tool of the packages places it.

Counts are of synthesis, before place and route, with the hierarchy kept.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw import tools
from hw.finn_rtl import sources
from hw.finn_rtl.top import NAME
from pipeline.errors import ToolError

READABLE = (
    (r"^`default_nettype.*$", ""),
    (r"\$error\(\"%m: Requested number of %0d FEED", '$error("%m: Requested number of FEED'),
    (r" iff en && !rst", ""),
    (r"\tif\(1\) begin : blkRecoveryWatch.*?end : blkRecoveryWatch", ""),
    (r"\(SCOPE_REDUCE == 0\)\? 1 : p\.ptr\[M-1:SN\+1\] < 2\*\*stage - SCOPE_REDUCE", "1"),
)
"""What `read_slang` refuses in FINN's RTL, and the same said in a way that it takes."""
UNUSED = ("fifo_gauge.sv", "mvu_vvu_8sx9_dsp58.sv")
READ = "read_slang --allow-use-before-declare --ignore-assertions --ignore-timing"
LUTS: Mapping[str, int] = {
    **dict.fromkeys(("INV", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2"), 1),
    **dict.fromkeys(("SRL16E", "SRLC32E", "RAM32X1S", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM128X1S", "RAM32X1D", "RAM64X1D"), 2),
    **dict.fromkeys(("RAM256X1S", "RAM128X1D", "RAM32M", "RAM64M"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8"), 8),
}
"""LUTs of a cell; an inverter is one where nothing takes it up; LUT RAM as in UG474 table 2-3, UG574."""
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
HALVES: Mapping[str, int] = {"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2}
"""Block RAMs of 18 kbit."""
FREE = ("CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "GND", "VCC", "$scopeinfo")
"""They come with the LUTs that they join, or are no cells."""
STAT, CELLS, TOP = "stat.json", "amd_cells.v", "counted"
LIMIT = 3600.0
"""Seconds that Yosys may take."""


@dataclass(frozen=True)
class Cells:
    """What a layer takes; `block_rams_18k` are of 18 kbit, of which a RAMB36 is two."""

    luts: int = 0
    flip_flops: int = 0
    block_rams_18k: int = 0
    ultra_rams: int = 0
    dsps: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Cells":
        """Of counted cells; raises `ToolError` at one of unknown cost."""
        strange = [name for name in counts if not _known(name)]
        if strange:
            raise ToolError(f"yosys left {counts[strange[0]]} cells {strange[0]}, whose cost nobody knows")
        return cls(
            luts=sum(LUTS.get(name, 0) * count for name, count in counts.items()),
            flip_flops=sum(count for name, count in counts.items() if name in FLIP_FLOPS),
            block_rams_18k=sum(HALVES.get(name, 0) * count for name, count in counts.items()),
            ultra_rams=counts.get("URAM288", 0),
            dsps=sum(count for name, count in counts.items() if name.startswith("DSP48E")),
        )


def _known(name: str) -> bool:
    return name in (*LUTS, *FLIP_FLOPS, *HALVES, *FREE, "URAM288") or name.startswith("DSP48E")


def readable(text: str) -> str:
    """FINN's Verilog as `read_slang` takes it."""
    for pattern, new in READABLE:
        text = re.sub(pattern, new, text, flags=re.MULTILINE | (re.DOTALL if ".*?" in pattern else 0))
    return text


def amd_cells(*names: str) -> str:
    """Declarations of AMD's cells, from Yosys's models: ports and parameters, no more."""
    import pyosys

    share = Path(pyosys.__file__).parent / "share" / "xilinx"
    simulated, others = ((share / file).read_text() for file in ("cells_sim.v", "cells_xtra.v"))
    declared = []
    for name in names:
        model = re.search(rf"^module {name}\b.*?^endmodule", simulated, re.M | re.S)
        if model:
            head, body = model[0].split(");", maxsplit=1)
            declared.append(
                "\n".join([f"{head});", *re.findall(r"^ *parameter .*;", body, re.M), "endmodule\n"])
            )
            continue
        model = re.search(rf"^module {name}\b.*?^endmodule", others, re.M | re.S)
        if model is None:
            raise ToolError(f"Yosys has no model of AMD's cell {name}; take the version that is locked")
        declared.append(f"{model[0]}\n")
    return "\n".join(declared)


def count(
    archive: Path, layers: Sequence[str], architecture: str, *, work: Path, log: Path
) -> dict[str, Cells]:
    """Cells of `layers`, all of which `archive` has RTL of, by name; weight memories count with their layer.

    `work` is a new folder. Raises `ToolError` where Yosys fails or leaves cells of unknown cost.
    """
    files = []
    for path in sources.unpack(archive, work):
        if path.suffix in (".v", ".sv") and path.name not in (*UNUSED, f"{NAME}.v"):
            path.write_text(readable(path.read_text()))
            files.append(path.name)
    files.sort(key=lambda name: "pkg" not in name)  # packages come before those that use them
    dsp, family = ("DSP48E1", "xc7") if architecture == "7-series" else ("DSP48E2", "xcup")
    (work / CELLS).write_text(amd_cells(dsp, "LUT6_2"))
    modules = {layer: _modules(layer, files) for layer in layers}
    instances = [f"  {name} {name}_inst ();" for names in modules.values() for name in names]
    (work / f"{TOP}.v").write_text("\n".join([f"module {TOP};", *instances, "endmodule", ""]))
    boxes = " ".join(f"--blackboxed-module {name}" for name in (dsp, "LUT6_2"))
    script = [
        f"{READ} --keep-hierarchy {boxes} --top {TOP} {CELLS} {' '.join(files)} {TOP}.v",
        f"synth_xilinx -family {family} -noiopad -noclkbuf -top {TOP}",
        f"tee -q -o {STAT} stat -json",
    ]
    tools.run_yosys(script, cwd=work, log=log, products=[Path(STAT)], timeout=LIMIT)
    found = json.loads((work / STAT).read_text())["modules"]
    counted = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in found.items()}
    return {layer: Cells.of(_cells(counted, names)) for layer, names in modules.items()}


def _modules(layer: str, files: Sequence[str]) -> tuple[str, ...]:
    """The modules of a layer: its own, and the memory that its weights stream from."""
    memory = f"{layer}_memstream_wrapper"
    return (layer, memory) if f"{memory}.v" in files else (layer,)


def _cells(counted: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Counter[str]:
    """Cells under modules of those names, as `read_slang` writes them: with the path of the instance."""
    total: Counter[str] = Counter()
    for module in counted:
        if module.split("$")[0] in names:
            total += _below(counted, module)
    return total


def _below(counted: Mapping[str, Mapping[str, int]], module: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for kind, number in counted[module].items():
        name = kind.lstrip("\\")
        if name in counted:
            total += Counter({cell: number * each for cell, each in _below(counted, name).items()})
        else:
            total[name] += number
    return total
