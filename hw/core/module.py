"""The core: kernels joined to one module with two streams, and its Verilog."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw import dataflow
from hw.core.verilog import to_verilog
from hw.dataflow import INPUT, DataflowGraph
from hw.interface import CoreInterface
from hw.kernels import specs
from hw.kernels.depthwise import Depthwise
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.movement import Add, ArgMax, Fork, ReplayBuffer, WidthConverter
from hw.kernels.pooling import GlobalSum, MaxPool, Reduce
from hw.kernels.selection import interface_of, select, weights_of
from hw.kernels.specs.base import Spec
from hw.kernels.streams import Kernel
from hw.kernels.threshold import Threshold
from hw.kernels.tree import Tree
from hw.kernels.unfolded import Unfolded
from hw.kernels.window import SlidingWindow

KERNELS: Mapping[type[Spec], type[Kernel[Any]]] = {
    specs.MatrixVector: MatrixVector,
    specs.Unfolded: Unfolded,
    specs.Depthwise: Depthwise,
    specs.Threshold: Threshold,
    specs.Window: SlidingWindow,
    specs.MaxPool: MaxPool,
    specs.Reduce: Reduce,
    specs.GlobalSum: GlobalSum,
    specs.WidthConverter: WidthConverter,
    specs.Buffer: ReplayBuffer,
    specs.Fork: Fork,
    specs.Add: Add,
    specs.ArgMax: ArgMax,
    specs.Tree: Tree,
}
"""The component of every specification."""


@dataclass(frozen=True)
class Tap:
    """A stream inside `core.v` that is recorded: output of submodule `instance`, `lanes` values of `bits`."""

    instance: str
    lanes: int
    bits: int

    @property
    def word_bytes(self) -> int:
        """Bytes that Verilator keeps a word in."""
        bits = self.lanes * self.bits
        return next((size for size in (1, 2, 4, 8) if bits <= size * 8), -(-bits // 32) * 4)


def kernel_of(spec: Spec) -> Kernel[Any]:
    """A new component."""
    return KERNELS[type(spec)](spec)


class Core(wiring.Component):  # type: ignore[misc]
    """Kernels joined between the ports `s_axis_*` (frames in) and `m_axis_*` (results out).

    Where weights have to be loaded, ports `load_*` take them, as `WeightsFormat` says.
    """

    def __init__(self, graph: DataflowGraph) -> None:
        self.instances = select(graph)
        self.format = interface_of(graph, self.instances)
        ports = {
            "s_axis_tdata": In(self.format.input.word_bits),
            "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1),
            "m_axis_tdata": Out(self.format.output.word_bits),
            "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1),
        }
        if self.format.weights is not None:
            ports |= {
                "load_valid": In(1),
                "load_column": In(self.format.weights.column_bits),
                "load_address": In(self.format.weights.address_bits),
                "load_data": In(16),
            }
        super().__init__(ports)

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        outlets: list[Iterator[PureInterface]] = []
        loads: list[PureInterface] = []
        for instance in self.instances:
            m.submodules[instance.name] = kernel = kernel_of(instance.spec)
            for source, inlet in zip(instance.sources, kernel.inlets, strict=True):
                if source == INPUT:
                    self._feed(m, inlet)
                else:
                    wiring.connect(m, next(outlets[source]), inlet)
            outlets.append(iter(kernel.outlets))
            if isinstance(instance.spec, specs.MatrixVector) and instance.spec.loaded:
                loads.append(kernel.load)
        self._drain(m, next(outlets[-1]))
        self._load(m, loads)
        return m

    def _feed(self, m: Module, inlet: PureInterface) -> None:
        """The core's input to a kernel's."""
        m.d.comb += [
            inlet.payload.as_value().eq(self.s_axis_tdata),
            inlet.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(inlet.ready),
        ]

    def _drain(self, m: Module, outlet: PureInterface) -> None:
        """The last kernel's output to the core's, elements extended to whole bytes."""
        bits = self.format.output.item_bits
        m.d.comb += [self.m_axis_tvalid.eq(outlet.valid), outlet.ready.eq(self.m_axis_tready)]
        for lane in range(self.format.output.lanes):
            value = Value.cast(outlet.payload[lane])
            element = value.as_signed() if self.instances[-1].value.signed else value
            m.d.comb += self.m_axis_tdata.word_select(lane, bits).eq(element)

    def _load(self, m: Module, loads: Sequence[PureInterface]) -> None:
        """Words from the load port to the columns that they are for."""
        first = 0
        for load in loads:
            for column, chosen in enumerate(load.column):
                m.d.comb += chosen.eq(self.load_valid & (self.load_column == first + column))
            m.d.comb += [load.address.eq(self.load_address), load.data.eq(self.load_data)]
            first += len(load.column)


@dataclass(frozen=True)
class CoreDesign:
    """A core as Verilog, its streams, and a tap on the output of every threshold layer, in order.

    `weights` is what has to be loaded before it works; the Verilog names their digest.
    """

    verilog: str
    interface: CoreInterface
    taps: tuple[Tap, ...]
    weights: bytes = b""


def design(graph: DataflowGraph, work: Path) -> CoreDesign:
    """`core.v`, one self-contained file of plain Verilog: top module `core`, clock `clk`, reset `rst`."""
    core = Core(graph)
    taps = [
        Tap(instance.name, instance.layer.pe, instance.layer.bits)
        for instance in core.instances
        if isinstance(instance.layer, dataflow.Threshold)
    ]
    weights, verilog = weights_of(core.instances), to_verilog(core, "core", None, work)
    if weights:
        # The identity of a core is its text's digest, which other weights have to change, too.
        verilog = f"// Needs weights.bin, SHA-256 {hashlib.sha256(weights).hexdigest()}\n{verilog}"
    return CoreDesign(verilog, core.format, tuple(taps), weights)
