"""The core: kernels joined to one module with two streams, and its Verilog."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface

from common.errors import LoweringError
from hw import dataflow
from hw.core.placing import Kernel, Placed, place
from hw.core.verilog import to_verilog
from hw.dataflow import INPUT, DataflowGraph
from hw.interface import CoreInterface, StreamFormat, WeightsFormat
from hw.kernels.add import Add
from hw.kernels.fork import Fork
from hw.kernels.matrix_vector import MatrixVector
from hw.simulation.simulate import Tap


def interface_of(graph: DataflowGraph, placed: Sequence[Placed]) -> CoreInterface:
    """Formats of a core's streams and of the weights to load, `placed` its kernels.

    Logits travel in the narrowest of 8, 16 and 32 bits that fits, unsigned where none can be negative.
    """
    if graph.input_bits != 8:
        raise LoweringError(f"the core takes uint8, the graph {graph.input_bits}-bit values")
    last = placed[-1]
    sizes = [size for size in (8, 16, 32) if size >= last.shape.width]
    if not sizes:
        raise LoweringError(f"{last.name}: outputs of {last.shape.width} bits do not fit 32")
    kind = "int" if last.shape.signed else "uint"
    (first,) = graph.consumers(INPUT)
    return CoreInterface(
        StreamFormat(graph.shape, "uint8", graph.layers[first].i_lanes),
        StreamFormat((last.layer.o_elements,), f"{kind}{sizes[0]}", last.layer.o_lanes),
        _weights_format(placed),
    )


def _loaded(placed: Sequence[Placed]) -> list[MatrixVector]:
    """The kernels that have weights to load, in order."""
    kernels = (each.kernel for each in placed)
    return [kernel for kernel in kernels if isinstance(kernel, MatrixVector) and kernel.loaded is not None]


def weights_of(placed: Sequence[Placed]) -> bytes:
    """What `weights.bin` holds; nothing where no kernel has weights to load."""
    contents = [kernel.loaded.contents for kernel in _loaded(placed) if kernel.loaded is not None]
    return b"".join(each.astype("<u2").tobytes() for each in contents)


def _weights_format(placed: Sequence[Placed]) -> WeightsFormat | None:
    rams = [kernel.loaded.ram for kernel in _loaded(placed) if kernel.loaded is not None]
    if not rams:
        return None
    columns = tuple(ram.depth for ram in rams for _ in range(ram.columns))
    return WeightsFormat(columns, zlib.crc32(weights_of(placed)))


def _inlets(kernel: Kernel) -> tuple[PureInterface, ...]:
    """Streams that a kernel takes, in the order of its layer's sources."""
    return tuple(kernel.i) if isinstance(kernel, Add) else (kernel.i,)


def _outlets(kernel: Kernel) -> tuple[PureInterface, ...]:
    """Streams that a kernel gives."""
    return tuple(kernel.o) if isinstance(kernel, Fork) else (kernel.o,)


class Core(wiring.Component):  # type: ignore[misc]
    """Kernels joined between the ports `s_axis_*` (frames in) and `m_axis_*` (results out).

    Where weights have to be loaded, ports `load_*` take them, as `WeightsFormat` says.
    """

    def __init__(self, graph: DataflowGraph) -> None:
        self.placed = place(graph)
        self.format = interface_of(graph, self.placed)
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
        for placed in self.placed:
            m.submodules[placed.name] = placed.kernel
            for source, inlet in zip(placed.sources, _inlets(placed.kernel), strict=True):
                if source == INPUT:
                    self._feed(m, inlet)
                else:
                    wiring.connect(m, next(outlets[source]), inlet)
            outlets.append(iter(_outlets(placed.kernel)))
        self._drain(m, next(outlets[-1]))
        self._load(m)
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

    def _load(self, m: Module) -> None:
        """Words from the load port to the columns that they are for."""
        first = 0
        for kernel in _loaded(self.placed):
            for column, chosen in enumerate(kernel.load.column):
                m.d.comb += chosen.eq(self.load_valid & (self.load_column == first + column))
            m.d.comb += [kernel.load.address.eq(self.load_address), kernel.load.data.eq(self.load_data)]
            first += len(kernel.load.column)


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
        Tap(placed.name, placed.layer.pe, placed.layer.bits)
        for placed in core.placed
        if isinstance(placed.layer, dataflow.Threshold)
    ]
    weights, verilog = weights_of(core.placed), to_verilog(core, "core", None, work)
    if weights:
        # The identity of a core is its text's digest, which other weights have to change, too.
        verilog = f"// Needs weights.bin, SHA-256 {hashlib.sha256(weights).hexdigest()}\n{verilog}"
    return CoreDesign(verilog, core.format, tuple(taps), weights)
