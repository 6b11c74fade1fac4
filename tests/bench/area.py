"""How much of a chip the kernels take, beside FINN's, da4ml's and NNgen's own RTL of the same network.

`python -m tests.bench.area` prints a table for each chip family; `--sizes` has networks of several sizes
instead. All go through the same Yosys with the same commands; the quotients are to the first design of a
table. LUT has those that carry chains and RAM made of LUTs take as well. Retort's cycles are counted in
simulation, in which its outputs are compared too; FINN's and da4ml's are what they say themselves, NNgen
says none. An hour or so for all; what was counted is kept in `--kept`, and a second run goes on from there.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.errors import ToolError
from hw.dataflow.fold import Fold
from tests.bench.counted import FLOWS, Design, synthesize
from tests.bench.peers import finn_rtl, network, nngen_rtl, own, unrolled
from tests.bench.peers.network import Layers

SAME = (Fold(4, 8), Fold(4, 8), Fold(2, 8))
"""PE 4, SIMD 8 where they divide: the fold that FINN and Retort share."""
BALANCED = (Fold(4, 8), Fold(2, 8), Fold(1, 8))
"""No layer faster than the first needs: what a target of 64 cycles a frame folds to."""
ADDERS = 4
"""Adders between registers of the unfolded designs."""
SIZES = ((32, 16, 16, 10), network.WIDTHS, (128, 64, 64, 10), (256, 128, 128, 10))
GROWING = ("FINN", "Retort, products in LUTs", "Retort, products in DSP slices")
"""Without products in block RAM, whose tables the larger of the sizes have no room for."""
PLAIN_REGISTERS = 'setattr -set fsm_encoding "none" w:* w:*fsm* %d'
"""NNgen names its state registers; Yosys's search for more among all the others takes hours."""


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
    return Design([f"read_verilog {path.name}", PLAIN_REGISTERS], nngen_rtl.TOP, None)


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


def unfit(family: str, name: str) -> str | None:
    """Why a chip family has no room for a design, if so."""
    if family != "ice40" or "LUTs" in name or name in UNFOLDED:
        return None
    if "block RAM" in name:
        return "no iCE40 has the block RAM for the tables"
    return "no iCE40 has the multipliers"


def chosen(designs: Mapping[str, Make], only: Sequence[str] | None) -> dict[str, Make]:
    """The designs with one of `only` in their names, or all."""
    return {name: make for name, make in designs.items() if not only or any(text in name for text in only)}


def table(family: str, widths: network.Widths, designs: Mapping[str, Make], folder: Path, kept: Path) -> None:
    """Print the designs' lines, each with its quotients to the first; where one cannot be had, why."""
    layers, reference = network.network(widths), None
    for name, make in designs.items():
        reason = unfit(family, name)
        if reason:
            print(f"{name:32}  none: {reason}", flush=True)
            continue
        work = Path(tempfile.mkdtemp(dir=folder))
        try:
            with (
                (work / "tools.log").open("w") as log,
                contextlib.redirect_stdout(log),
                contextlib.redirect_stderr(log),
            ):
                design = make(layers, work, family)
            found = synthesize(family, design, work, kept)
        except (ToolError, ImportError) as error:
            print(f"{name:32}  none: {error}", flush=True)
            continue
        if name == next(iter(designs)):
            reference = found
        quotients = f"{found.lut / reference.lut:.3f}, {found.ff / reference.ff:.3f}" if reference else "-"
        cycles, product = "-", "-"
        if design.cycles is not None:
            cycles = str(design.cycles)
            product = f"{found.lut * design.cycles / network.products(layers):.2f}"
        line = ROW.format(name, found.lut, found.ff, found.ram, found.dsp, cycles, product, quotients)
        print(line, flush=True)


def tables(family: str, *, sizes: bool) -> list[tuple[network.Widths, dict[str, Make]]]:
    """What to print of a chip family: networks and their designs."""
    if sizes:
        growing = {name: FOLDED[name] for name in GROWING if not unfit(family, name)}
        return [(widths, growing) for widths in SIZES]
    return [(network.WIDTHS, FOLDED), (network.WIDTHS, UNFOLDED)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=sorted(FLOWS), action="append", help="only this one; repeatable")
    parser.add_argument("--only", action="append", help="designs with this in their name; repeatable")
    parser.add_argument("--sizes", action="store_true", help="networks of several sizes")
    parser.add_argument("--kept", type=Path, default=Path("out/bench/area"), help="where counts are kept")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        for family in arguments.family or FLOWS:
            for widths, designs in tables(family, sizes=arguments.sizes):
                shape, products = "-".join(map(str, widths)), network.products(network.network(widths))
                print(f"\n{family}: {shape}, {products} products\n{ROW.format(*HEADER)}", flush=True)
                table(family, widths, chosen(designs, arguments.only), Path(name), arguments.kept)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
