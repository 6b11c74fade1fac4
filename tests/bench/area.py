"""How much of a chip the kernels take, beside FINN's, da4ml's and NNgen's own RTL of the same network.

`python -m tests.bench.area` prints a table for each chip family. All go through the same Yosys with the same
commands; the quotients are to the first design of a table. LUT has those that carry chains and RAM made of
LUTs take as well. Retort's cycles are counted in simulation, in which its outputs are compared too; FINN's
and da4ml's are what they say themselves, NNgen says none. An hour or so for all.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.lowering import Fold
from hw.netlist import HARNESS
from hw.tools import run_yosys
from tests.bench.peers import finn_rtl, network, nngen_rtl, own, unrolled

SAME = (Fold(4, 8), Fold(4, 8), Fold(2, 8))
"""PE 4, SIMD 8 where they divide: the fold that FINN and Retort share."""
BALANCED = (Fold(4, 8), Fold(2, 8), Fold(1, 8))
"""No layer faster than the first needs: what a target of 64 cycles a frame folds to."""
ADDERS = 4
"""Adders between registers of the unfolded designs."""

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
    f"techmap -map {HARNESS / 'carry.v'}",
    "opt_clean",
)


ROMS = ('setattr -set rom_style "block" m:*weights* m:*thresholds*',)
"""Tables of any size into block RAM: left to itself, Yosys makes LUTs of 64 words and less."""


@dataclass(frozen=True)
class Design:
    """How to read its Verilog, in its folder; its top module; cycles a frame, where they are known."""

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

    def per_product(self, cycles: int) -> float:
        """LUT times cycles for each product of a frame."""
        return self.lut * cycles / network.PRODUCTS


LUTS: dict[str, Mapping[str, int]] = {
    # TRELLIS_COMB, as nextpnr counts: a CCU2C is two, 16 by 4 bits of RAM are four
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
    "ice40": {"SB_LUT4": 1},
    "xc7": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "LUT5": 1, "LUT6": 1, "RAM32M": 4, "RAM64M": 4}
    | {"SRL16E": 1, "SRLC32E": 1, "LUT6_2": 1, "RAM32X1D": 2, "RAM64X1D": 2},
}
KINDS = {
    "ff": ("TRELLIS_FF", "SB_DFF", "FDRE", "FDSE", "FDCE", "FDPE"),
    "ram": ("DP16KD", "PDPW16KD", "SB_RAM40_4K", "RAMB18E1", "RAMB36E1"),
    "dsp": ("MULT18X18D", "DSP48E1", "SB_MAC16"),
}


def area(family: str, cells: Mapping[str, int]) -> Area:
    """Cells of a family by what they take."""
    counts = {
        kind: sum(count for cell, count in cells.items() if cell.startswith(names))
        for kind, names in KINDS.items()
    }
    return Area(lut=sum(cells.get(cell, 0) * luts for cell, luts in LUTS[family].items()), **counts)


def synthesize(family: str, design: Design, work: Path) -> Area:
    """Counts after synthesis of a design in `work`."""
    script = [*design.read, *CHAINS, FLOWS[family], "tee -q -o stat.json stat -json"]
    run_yosys(
        [line.format(top=design.top) for line in script],
        cwd=work,
        log=work / f"{family}.log",
        products=[Path("stat.json")],
    )
    return area(family, json.loads((work / "stat.json").read_text())["design"]["num_cells_by_type"])


Layers = tuple[network.Dense, ...]


def retort(layers: Layers, kernels: list[own.wiring.Component], work: Path) -> Design:
    built = own.build(layers, kernels, work / "amaranth")
    (work / "core.v").write_text(built.verilog)
    return Design(
        ["read_verilog core.v", 'setattr -set rom_style "block" m:*weights*'], own.TOP, built.interval
    )


def finn(layers: Layers, work: Path, family: str) -> Design:
    model = finn_rtl.generate(layers, SAME, work)
    read, cycles = finn_rtl.write(model, work, behavioural=family != "xc7")
    return Design([read], finn_rtl.TOP, cycles)


def da4ml(layers: Layers, work: Path) -> Design:
    files, _ = unrolled.write(layers, work, adders=ADDERS)
    names = " ".join(str(path.relative_to(work)) for path in files)
    return Design([f"read_verilog -sv {names}"], unrolled.TOP, 1)


def nngen(layers: Layers, work: Path) -> Design:
    path = nngen_rtl.write(layers, SAME, work)
    return Design([f"read_verilog {path.name}"], nngen_rtl.TOP, None)


Make = Callable[[Layers, Path, str], Design]
FOLDED: dict[str, Make] = {
    "FINN": finn,
    "Retort, products in LUTs": lambda n, w, _: retort(n, own.folded(n, SAME, "lut"), w),
    "Retort, products in block RAM": lambda n, w, _: retort(n, own.folded(n, SAME, "table"), w),
    "Retort, products in DSP slices": lambda n, w, _: retort(n, own.folded(n, SAME, "dsp"), w),
    "  balanced, in LUTs": lambda n, w, _: retort(n, own.folded(n, BALANCED, "lut"), w),
    "  balanced, in block RAM": lambda n, w, _: retort(n, own.folded(n, BALANCED, "table"), w),
    "NNgen": lambda n, w, _: nngen(n, w),
}
UNFOLDED: dict[str, Make] = {
    "da4ml": lambda n, w, _: da4ml(n, w),
    "Retort, unfolded": lambda n, w, _: retort(n, own.unfolded(n, ADDERS), w),
}
HEADER = ("", "LUT", "FF", "RAM", "DSP", "cycles", "LUT*cycles/product", "LUT, FF: quotients")
ROW = "{:32}{:>8}{:>8}{:>6}{:>6}{:>8}{:>20}  {}"


def fits(family: str, name: str) -> bool:
    """iCE40 chips have too few multipliers for FINN and NNgen, too little block RAM for the tables."""
    return family != "ice40" or "LUTs" in name or name in UNFOLDED


def chosen(designs: Mapping[str, Make], only: Sequence[str] | None) -> dict[str, Make]:
    """The designs with one of `only` in their names, or all."""
    return {name: make for name, make in designs.items() if not only or any(text in name for text in only)}


def table(family: str, designs: Mapping[str, Make], folder: Path) -> None:
    """Print the designs' lines, each with its quotients to the first."""
    layers, reference = network.network(), None
    for name, make in designs.items():
        if not fits(family, name):
            continue
        work = Path(tempfile.mkdtemp(dir=folder))
        with (work / "tools.log").open("w") as log, contextlib.redirect_stdout(log):
            design = make(layers, work, family)
        found = synthesize(family, design, work)
        reference = reference or found
        quotients = f"{found.lut / reference.lut:.3f}, {found.ff / reference.ff:.3f}"
        product = "-" if design.cycles is None else f"{found.per_product(design.cycles):.2f}"
        cycles = design.cycles or "-"
        line = ROW.format(name, found.lut, found.ff, found.ram, found.dsp, cycles, product, quotients)
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=sorted(FLOWS), action="append", help="only this one; repeatable")
    parser.add_argument("--only", action="append", help="designs with this in their name; repeatable")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        for family in arguments.family or FLOWS:
            shape = "-".join(map(str, network.WIDTHS))
            print(f"\n{family}: {shape}, {network.PRODUCTS} products\n{ROW.format(*HEADER)}", flush=True)
            for designs in (FOLDED, UNFOLDED):
                table(family, chosen(designs, arguments.only), Path(name))
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
