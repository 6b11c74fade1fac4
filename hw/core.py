"""The core: the kernels of a dataflow graph joined to one module with two streams, and its Verilog."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from amaranth.hdl import Cat, Module, Shape, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw import dataflow
from hw.interface import CoreInterface, StreamFormat
from hw.kernels.argmax import ArgMax
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.replay import ReplayBuffer
from hw.kernels.threshold import Threshold
from hw.kernels.width import WidthConverter
from hw.simulate import Tap
from hw.verilog import to_verilog
from pipeline.errors import LoweringError

Kernel = MatrixVector | Threshold | WidthConverter | ReplayBuffer | ArgMax


@dataclass(frozen=True)
class Placed:
    """A kernel, the dataflow layer whose values it gives, and the type of those values."""

    name: str
    layer: dataflow.Layer
    kernel: Kernel
    shape: Shape


def _matrix_vector(
    layer: dataflow.MatrixVector, buffered: int, following: dataflow.Layer | None
) -> MatrixVector:
    """Accumulators need not be exact where thresholds follow: those take the offsets up."""
    return MatrixVector(
        layer.weights,
        x_bits=layer.x_bits,
        pe=layer.pe,
        simd=layer.simd,
        buffered=buffered,
        exact=not isinstance(following, dataflow.Threshold),
    )


def _threshold(layer: dataflow.Threshold, before: Placed) -> Threshold:
    """One comparator a lane where the accumulators come slowly enough for a search in turns."""
    thresholds, sequential = layer.thresholds, False
    if isinstance(before.kernel, MatrixVector):
        thresholds = thresholds - before.kernel.offsets[:, None]
        sequential = before.kernel.synapse_folds >= layer.bits
    return Threshold(thresholds, x_shape=before.shape, pe=layer.pe, sequential=sequential)


def place(graph: dataflow.DataflowGraph) -> list[Placed]:
    """Kernels for the layers, in order; a FIFO before a matrix-vector layer joins its replay buffer."""
    placed: list[Placed] = []
    shape, buffered = unsigned(graph.input_bits), 0
    for layer, following in zip(graph.layers, [*graph.layers[1:], None], strict=True):
        kernel: Kernel
        match layer:
            case dataflow.Fifo(depth=depth) if isinstance(following, dataflow.MatrixVector):
                buffered = depth
                continue
            case dataflow.Fifo(depth=depth):
                kernel = ReplayBuffer(shape, layer.i_lanes, depth=depth)
            case dataflow.MatrixVector():
                kernel = _matrix_vector(layer, buffered, following)
                shape, buffered = kernel.o_shape, 0
            case dataflow.Threshold():
                kernel = _threshold(layer, placed[-1])
                shape = unsigned(layer.bits)
            case dataflow.WidthConverter():
                kernel = WidthConverter(shape, layer.i_lanes, layer.o_lanes)
            case dataflow.ArgMax():
                kernel = ArgMax(layer.channels, x_shape=shape, pe=layer.pe)
                shape = kernel.o_shape
        placed.append(Placed(layer.name, layer, kernel, shape))
    return placed


def _interface(graph: dataflow.DataflowGraph, last: Placed) -> CoreInterface:
    """Formats of the core's streams; logits travel in the narrowest of int8, int16 and int32 that fits."""
    if graph.input_bits != 8:
        raise LoweringError(f"the core takes uint8, the graph {graph.input_bits}-bit values")
    sizes = [size for size in (8, 16, 32) if size >= last.shape.width]
    if not sizes:
        raise LoweringError(f"{last.name}: outputs of {last.shape.width} bits do not fit 32")
    kind = "int" if last.shape.signed else "uint"
    outputs = graph.execute(np.zeros((1, graph.inputs), np.int64)).shape[1]
    return CoreInterface(
        StreamFormat((graph.inputs,), "uint8", graph.layers[0].i_lanes),
        StreamFormat((outputs,), f"{kind}{sizes[0]}", last.layer.o_lanes),
    )


class Core(wiring.Component):  # type: ignore[misc]
    """Kernels joined in order between the ports `s_axis_*` (frames in) and `m_axis_*` (results out)."""

    def __init__(self, graph: dataflow.DataflowGraph) -> None:
        self.placed = place(graph)
        self.format = _interface(graph, self.placed[-1])
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
        for placed in self.placed:
            m.submodules[placed.name] = placed.kernel
        kernels = [placed.kernel for placed in self.placed]
        for before, after in pairwise(kernels):
            wiring.connect(m, before.o, after.i)
        first, last = kernels[0].i, kernels[-1].o
        item_bits = self.format.output.item_bits
        elements = [last.payload[lane] for lane in range(self.format.output.lanes)]
        extended = [
            Cat(element, element[-1].replicate(item_bits - len(element)))
            if self.placed[-1].shape.signed
            else Cat(element)
            for element in elements
        ]
        m.d.comb += [
            first.payload.as_value().eq(self.s_axis_tdata),
            first.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(first.ready),
            self.m_axis_tvalid.eq(last.valid),
            last.ready.eq(self.m_axis_tready),
        ]
        for lane, element in enumerate(extended):
            m.d.comb += self.m_axis_tdata.word_select(lane, item_bits).eq(element)
        return m


@dataclass(frozen=True)
class CoreDesign:
    """A core as Verilog, its streams, and a tap on the output of every threshold layer, in order."""

    verilog: str
    interface: CoreInterface
    taps: tuple[Tap, ...]


def design(graph: dataflow.DataflowGraph, work: Path) -> CoreDesign:
    """`core.v`, one self-contained file of plain Verilog: top module `core`, clock `clk`, reset `rst`."""
    core = Core(graph)
    taps = [
        Tap(placed.name, placed.layer.pe, placed.layer.bits)
        for placed in core.placed
        if isinstance(placed.layer, dataflow.Threshold)
    ]
    return CoreDesign(to_verilog(core, "core", None, work), core.format, tuple(taps))
