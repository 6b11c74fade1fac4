"""The cost of every layer of a graph, of all together, and of the shells around a core."""

from collections.abc import Mapping
from dataclasses import dataclass

from hw.boards.families.base import ChipFamily
from hw.dataflow import DataflowGraph
from hw.interface import CoreInterface
from hw.kernels.selection import Instance, interface_of, select
from hw.kernels.specs.base import counter_width
from hw.mapping.cost.features import parts_of
from hw.mapping.cost.finn import finn_cost
from hw.mapping.cost.memory import Store, mapped
from hw.mapping.cost.part import Cost, Part
from hw.shells.port import PortWidths

LOADER = Cost(luts=200, flip_flops=75)
"""More of the serial shell, to load four columns of weights; `tests/hw/shells/test_loader.py` measures it."""


@dataclass(frozen=True)
class LayerCost:
    """A layer of the core as built.

    Attributes:
        name: as in the graph.
        kind: class of the layer.
        cost: of its kernel, buffers included.
        cycles: a frame.
        i_bits, o_bits: bits of a word of its streams; of two streams in, of both.
        pe, simd: its fold, where it has one.
    """

    name: str
    kind: str
    cost: Cost
    cycles: int
    i_bits: int
    o_bits: int
    pe: int | None = None
    simd: int | None = None


@dataclass(frozen=True)
class Estimate:
    """The layers' costs, cycles between frames, and the core's streams."""

    family: ChipFamily
    layers: tuple[LayerCost, ...]
    interval: int
    interface: CoreInterface

    @property
    def total(self) -> Cost:
        """All layers together."""
        return sum((layer.cost for layer in self.layers), Cost())

    @property
    def largest(self) -> LayerCost:
        """The layer of the most LUTs."""
        return max(self.layers, key=lambda layer: layer.cost.luts)


def estimate(graph: DataflowGraph, family: ChipFamily) -> Estimate:
    """What a graph's core will take of a chip of `family`, without any shell: our kernels, or FINN's layers
    where Vivado makes the bitstream.
    """
    instances = select(graph)
    layers = tuple(_layer(each, family) for each in instances)
    return Estimate(family, layers, graph.interval_bound, interface_of(graph, instances))


def layers_cost(graph: DataflowGraph, family: ChipFamily) -> Cost:
    """What the layers take together; of any part of a network, whatever values it takes."""
    return sum((_layer(each, family).cost for each in select(graph)), Cost())


def _layer(instance: Instance, family: ChipFamily) -> LayerCost:
    spec, layer = instance.spec, instance.layer
    i_bits, o_bits = sum(each.bits for each in spec.inlets), spec.outlet.bits
    if family.uses_vivado:
        cost = finn_cost(layer, i_bits, o_bits)
    else:
        cost = sum((part_cost(part, family) for part in parts_of(spec)), Cost())
    return LayerCost(
        instance.name,
        type(layer).__name__,
        cost,
        layer.cycles,
        i_bits,
        o_bits,
        getattr(layer, "pe", None),
        getattr(layer, "simd", None),
    )


def part_features(part: Part, family: ChipFamily) -> dict[str, float]:
    """The part's features, and what its memories add to LUTs and flip-flops."""
    memory = {"rom": 0.0, "ram": 0.0, "ram-bits": 0.0, "ram-mux": 0.0, "read": 0.0}
    for store, count in part.stores:
        found = mapped(store, family)
        memory["rom"] += count * found.rom
        memory["ram"] += count * found.ram
        memory["ram-bits"] += count * found.bits
        memory["ram-mux"] += count * found.mux
        memory["read"] += count * found.read
    return dict(part.features) | memory


def part_blocks(part: Part, family: ChipFamily) -> int:
    """Block RAMs of a part."""
    return sum(mapped(store, family).block_rams * count for store, count in part.stores)


def part_single_port_rams(part: Part, family: ChipFamily) -> int:
    """Single-port RAMs of a part."""
    return sum(mapped(store, family).single_port_rams * count for store, count in part.stores)


def part_cost(part: Part, family: ChipFamily) -> Cost:
    """What a part of a kernel takes."""
    table = family.coefficients
    features = part_features(part, family)
    return Cost(
        luts=_sum(table.luts[part.kind], features),
        flip_flops=_sum(table.flip_flops[part.kind], features),
        block_rams=part_blocks(part, family),
        single_port_rams=part_single_port_rams(part, family),
        dsps=part.dsps,
    )


def _sum(factors: Mapping[str, float], features: Mapping[str, float]) -> float:
    return sum(factor * features.get(name, 0.0) for name, factor in factors.items())


def shell_part(interface: CoreInterface, port: PortWidths | None) -> Part:
    """The features of the serial shell, or, given its `port`, of the parallel one."""
    i, o = interface.input, interface.output
    features = {"in": i.word_bits, "out": o.word_bits, "one": 1}
    if port is None:
        features |= {"counter": counter_width(i.frame_bytes) + counter_width(o.frame_bytes)}
        request = Store(i.frame_bytes, 8, writable=True)
        return Part("shell-uart", features, ((request, 1),))
    beats = counter_width(o.words * port.out_beats)
    features |= {"pins": port.in_bits + port.out_bits, "beats": beats}
    return Part("shell-parallel", features)


def shell_cost(interface: CoreInterface, family: ChipFamily, port: PortWidths | None) -> Cost:
    """What a shell takes of a chip of `family`: the serial one, or, given its `port`, the parallel one."""
    cost = part_cost(shell_part(interface, port), family)
    return cost if interface.weights is None else cost + LOADER
