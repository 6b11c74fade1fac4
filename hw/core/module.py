"""The core: kernels joined to one module with two streams, and its Verilog."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw import dataflow
from hw.core.placing import Kernel, Placed, place
from hw.dataflow import INPUT, DataflowGraph
from hw.interface import CoreInterface, StreamFormat
from hw.kernels.add import Add
from hw.kernels.fork import Fork
from hw.simulate import Tap
from hw.verilog import to_verilog
from pipeline.errors import LoweringError


def interface_of(graph: DataflowGraph, last: Placed) -> CoreInterface:
    """Formats of a core's streams, `last` its last kernel.

    Logits travel in the narrowest of int8, int16 and int32 that fits.
    """
    if graph.input_bits != 8:
        raise LoweringError(f"the core takes uint8, the graph {graph.input_bits}-bit values")
    sizes = [size for size in (8, 16, 32) if size >= last.shape.width]
    if not sizes:
        raise LoweringError(f"{last.name}: outputs of {last.shape.width} bits do not fit 32")
    kind = "int" if last.shape.signed else "uint"
    (first,) = graph.consumers(INPUT)
    return CoreInterface(
        StreamFormat(graph.shape, "uint8", graph.layers[first].i_lanes),
        StreamFormat((last.layer.o_elements,), f"{kind}{sizes[0]}", last.layer.o_lanes),
    )


def _inlets(kernel: Kernel) -> tuple[PureInterface, ...]:
    """Streams that a kernel takes, in the order of its layer's sources."""
    return tuple(kernel.i) if isinstance(kernel, Add) else (kernel.i,)


def _outlets(kernel: Kernel) -> tuple[PureInterface, ...]:
    """Streams that a kernel gives."""
    return tuple(kernel.o) if isinstance(kernel, Fork) else (kernel.o,)


class Core(wiring.Component):  # type: ignore[misc]
    """Kernels joined between the ports `s_axis_*` (frames in) and `m_axis_*` (results out)."""

    def __init__(self, graph: DataflowGraph) -> None:
        self.placed = place(graph)
        self.format = interface_of(graph, self.placed[-1])
        super().__init__(
            {
                "s_axis_tdata": In(self.format.input.word_bits),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(self.format.output.word_bits),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        outlets: list[Iterator[PureInterface]] = []
        for placed in self.placed:
            m.submodules[placed.name] = placed.kernel
            for source, inlet in zip(placed.sources, _inlets(placed.kernel), strict=True):
                if source == INPUT:
                    self._feed(m, inlet)
                else:
                    wiring.connect(m, next(outlets[source]), inlet)
            outlets.append(iter(_outlets(placed.kernel)))
        self._drain(m, next(outlets[-1]))
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
            element = value.as_signed() if self.placed[-1].shape.signed else value
            m.d.comb += self.m_axis_tdata.word_select(lane, bits).eq(element)


@dataclass(frozen=True)
class CoreDesign:
    """A core as Verilog, its streams, and a tap on the output of every threshold layer, in order."""

    verilog: str
    interface: CoreInterface
    taps: tuple[Tap, ...]


def design(graph: DataflowGraph, work: Path) -> CoreDesign:
    """`core.v`, one self-contained file of plain Verilog: top module `core`, clock `clk`, reset `rst`."""
    core = Core(graph)
    taps = [
        Tap(placed.name, placed.layer.pe, placed.layer.bits)
        for placed in core.placed
        if isinstance(placed.layer, dataflow.Threshold)
    ]
    return CoreDesign(to_verilog(core, "core", None, work), core.format, tuple(taps))
