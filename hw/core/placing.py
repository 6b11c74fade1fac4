"""Kernels for the layers of a dataflow graph, with the types of the values between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from amaranth.hdl import Shape, unsigned

from common.errors import LoweringError
from hw import dataflow
from hw.dataflow import INPUT, DataflowGraph, Integers, Layer
from hw.kernels.add import Add
from hw.kernels.argmax import ArgMax
from hw.kernels.depthwise import Depthwise
from hw.kernels.fork import Fork
from hw.kernels.global_sum import GlobalSum
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.max_pool import MaxPool
from hw.kernels.reduce import Reduce
from hw.kernels.replay import ReplayBuffer
from hw.kernels.threshold import Threshold
from hw.kernels.unfolded import Unfolded
from hw.kernels.width import WidthConverter
from hw.kernels.window import SlidingWindow

Kernel: TypeAlias = (
    MatrixVector
    | Unfolded
    | Depthwise
    | Threshold
    | SlidingWindow
    | Reduce
    | MaxPool
    | GlobalSum
    | WidthConverter
    | ReplayBuffer
    | Fork
    | Add
    | ArgMax
)


@dataclass(frozen=True)
class Placed:
    """A kernel, the layer whose values it gives, and where it takes from.

    Attributes:
        shape: type of the values.
        sources: places of other kernels, or `INPUT`.
        spacing: cycles between two words that it gives, at the least.
    """

    name: str
    layer: Layer
    kernel: Kernel
    shape: Shape
    sources: tuple[int, ...]
    spacing: int


@dataclass(frozen=True)
class _Site:
    """What a kernel's choice depends on: its layer's neighbours, and words to hold for a FIFO before it."""

    takes: tuple[Shape, ...]
    before: tuple[Placed, ...]
    after: tuple[Layer, ...]
    buffered: int
    order: Integers | None

    @property
    def counts_only(self) -> bool:
        """Whether thresholds follow at once: those take offsets up, so that sums need not be exact."""
        return bool(self.after) and isinstance(self.after[0], dataflow.Threshold)

    @property
    def spacing(self) -> int:
        """Cycles between the words that come, at the least."""
        return max((placed.spacing for placed in self.before), default=1)


def _matrix_vector(layer: dataflow.MatrixVector, site: _Site) -> tuple[Kernel, Shape, int]:
    """Without folds a tree of adders for these very weights, else multipliers with weights from ROM."""
    weights = layer.weights if site.order is None else layer.weights[:, site.order]
    kernel: MatrixVector | Unfolded
    if layer.neuron_folds == layer.synapse_folds == 1:
        kernel = Unfolded(weights, x_bits=layer.x_bits, bias=layer.bias, exact=not site.counts_only)
        return kernel, kernel.o_shape, 1
    repeated = bool(site.before) and _repeats(site.before[0]) > 1
    kernel = MatrixVector(
        weights,
        x_bits=layer.x_bits,
        pe=layer.pe,
        simd=layer.simd,
        buffered=site.buffered,
        exact=not site.counts_only,
        replay=not repeated and layer.neuron_folds > 1,
        bias=layer.bias,
        multiply=layer.multiply,
        memory=layer.memory,
        held=any(
            isinstance(after, dataflow.Threshold) and layer.synapse_folds >= after.bits
            for after in site.after
        ),
    )
    return kernel, kernel.o_shape, layer.synapse_folds


def _repeats(placed: Placed) -> int:
    """How often the words of a vector come."""
    return placed.layer.repeats if isinstance(placed.layer, dataflow.Window) else 1


def _depthwise(layer: dataflow.Depthwise, site: _Site) -> tuple[Kernel, Shape, int]:
    kernel = Depthwise(
        layer.weights,
        x_bits=layer.x_bits,
        pe=layer.pe,
        simd=layer.simd,
        exact=not site.counts_only,
        bias=layer.bias,
    )
    return kernel, kernel.o_shape, layer.taps // layer.simd


def _threshold(layer: dataflow.Threshold, site: _Site) -> tuple[Kernel, Shape, int]:
    """One comparator a lane where words come slowly enough for a search in turns."""
    thresholds, held = layer.thresholds, False
    if site.before and isinstance(site.before[0].kernel, MatrixVector | Unfolded | Depthwise):
        before = site.before[0].kernel
        thresholds = thresholds - before.offsets[:, None]
        held = isinstance(before, MatrixVector) and before.held
    sequential = site.spacing >= layer.bits
    kernel = Threshold(
        thresholds,
        x_shape=site.takes[0],
        pe=layer.pe,
        sequential=sequential,
        held=held,
        block=layer.block,
    )
    return kernel, unsigned(layer.bits), site.spacing


def _window(layer: dataflow.Window, site: _Site) -> tuple[Kernel, Shape, int]:
    height, width, channels = layer.shape
    kernel = SlidingWindow(
        site.takes[0],
        height=height,
        width=width,
        channels=channels,
        kernel=layer.kernel,
        lanes=layer.lanes,
        stride=layer.stride,
        padding=layer.padding,
        rows=layer.rows,
        repeats=layer.repeats,
        depthwise=layer.depthwise,
        pad_value=layer.pad_value,
        buffered=site.buffered,
    )
    return kernel, site.takes[0], 1


def _max_pool(layer: dataflow.MaxPool, site: _Site) -> tuple[Kernel, Shape, int]:
    height, width, channels = layer.shape
    kernel = MaxPool(
        site.takes[0], height=height, width=width, channels=channels, size=layer.size, lanes=layer.lanes
    )
    return kernel, site.takes[0], site.spacing


def _reduce(layer: dataflow.Reduce, site: _Site) -> tuple[Kernel, Shape, int]:
    return Reduce(site.takes[0], taps=layer.taps, lanes=layer.lanes), site.takes[0], layer.taps


def _global_sum(layer: dataflow.GlobalSum, site: _Site) -> tuple[Kernel, Shape, int]:
    kernel = GlobalSum(x_bits=layer.x_bits, pixels=layer.pixels, channels=layer.channels, lanes=layer.lanes)
    return kernel, kernel.o_shape, layer.pixels if layer.lanes == layer.channels else site.spacing


def _fork(layer: dataflow.Fork, site: _Site) -> tuple[Kernel, Shape, int]:
    return Fork(site.takes[0], layer.lanes), site.takes[0], site.spacing


def _add(layer: dataflow.Add, site: _Site) -> tuple[Kernel, Shape, int]:
    kernel = Add(site.takes[0].width, site.takes[1].width, layer.lanes)
    return kernel, kernel.o_shape, site.spacing


def _fifo(layer: dataflow.Fifo, site: _Site) -> tuple[Kernel, Shape, int]:
    return ReplayBuffer(site.takes[0], layer.lanes, depth=layer.depth), site.takes[0], 1


def _converter(layer: dataflow.WidthConverter, site: _Site) -> tuple[Kernel, Shape, int]:
    kernel = WidthConverter(site.takes[0], layer.i_lanes, layer.o_lanes)
    ratio, rest = divmod(layer.o_lanes, layer.i_lanes)
    return kernel, site.takes[0], 1 if rest else ratio * site.spacing


def _argmax(layer: dataflow.ArgMax, site: _Site) -> tuple[Kernel, Shape, int]:
    kernel = ArgMax(layer.channels, x_shape=site.takes[0], pe=layer.pe)
    return kernel, kernel.o_shape, layer.cycles


_KERNELS: dict[type[Layer], Callable[[Any, _Site], tuple[Kernel, Shape, int]]] = {
    dataflow.MatrixVector: _matrix_vector,
    dataflow.Depthwise: _depthwise,
    dataflow.Threshold: _threshold,
    dataflow.Window: _window,
    dataflow.Reduce: _reduce,
    dataflow.MaxPool: _max_pool,
    dataflow.GlobalSum: _global_sum,
    dataflow.WidthConverter: _converter,
    dataflow.Fifo: _fifo,
    dataflow.Fork: _fork,
    dataflow.Add: _add,
    dataflow.ArgMax: _argmax,
}


class _Placing:
    """Kernels placed so far."""

    def __init__(self, graph: DataflowGraph) -> None:
        self.graph = graph
        self.placed: list[Placed] = []
        self.places: dict[int, int] = {INPUT: INPUT}
        self.buffered: dict[int, int] = {}

    def place(self, index: int) -> None:
        """Place the kernel of a layer; a FIFO becomes the own buffer of a layer that has one."""
        layer, sources = self.graph.layers[index], self.graph.links[index]
        places = tuple(self.places[source] for source in sources)
        after = tuple(self.graph.layers[consumer] for consumer in self.graph.consumers(index))
        if isinstance(layer, dataflow.Fifo) and after and self._has_buffer(places[0], after[0]):
            self.places[index], self.buffered[index] = places[0], layer.depth
            return
        before = tuple(self.placed[place] for place in places if place != INPUT)
        takes = tuple(
            unsigned(self.graph.input_bits) if place == INPUT else self.placed[place].shape
            for place in places
        )
        _check_type(layer, takes[0])
        buffered = sum(self.buffered.get(source, 0) for source in sources)
        site = _Site(takes, before, after, buffered, self._order(index))
        kernel, shape, spacing = _KERNELS[type(layer)](layer, site)
        self.places[index] = len(self.placed)
        self.placed.append(Placed(layer.name, layer, kernel, shape, places, spacing))

    def _has_buffer(self, place: int, layer: Layer) -> bool:
        """Whether a layer that takes from the kernel at `place` keeps words itself."""
        if isinstance(layer, dataflow.MatrixVector):
            repeated = place != INPUT and _repeats(self.placed[place]) > 1
            return layer.neuron_folds > 1 and not repeated
        return isinstance(layer, dataflow.Window)

    def _order(self, index: int) -> Integers | None:
        """The order of a vector's values where a window before the layer gives another than in `execute`."""
        source = self.graph.links[index][0]
        while source != INPUT and isinstance(
            self.graph.layers[source], dataflow.Fifo | dataflow.WidthConverter
        ):
            source = self.graph.links[source][0]
        before = self.graph.layers[source] if source != INPUT else None
        if not isinstance(before, dataflow.Window) or before.rows == 1:
            return None
        layer = self.graph.layers[index]
        if isinstance(layer, dataflow.Fifo | dataflow.WidthConverter):
            return None
        if not isinstance(layer, dataflow.MatrixVector):
            raise LoweringError(
                f"{layer.name}: cannot take columns of pixels; give {before.name} one row a word"
            )
        return before.order


def _check_type(layer: Layer, given: Shape) -> None:
    """Raise `LoweringError` where values of another type come than a layer is made for."""
    wanted = getattr(layer, "x_bits", None)
    if wanted is not None and given != unsigned(wanted):
        sign = "signed" if given.signed else "unsigned"
        raise LoweringError(
            f"{layer.name}: takes unsigned values of {wanted} bits, {sign} ones of {given.width} come"
        )


def place(graph: DataflowGraph) -> list[Placed]:
    """Kernels for the layers, in order; a FIFO before a layer that has a buffer makes that one deeper."""
    placing = _Placing(graph)
    for index in range(len(graph.layers)):
        placing.place(index)
    return placing.placed
