"""The kernel of every layer of a dataflow graph, with the types of the values between them."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.errors import LoweringError
from hw import dataflow
from hw.dataflow import INPUT, DataflowGraph, Integers, Layer
from hw.interface import CoreInterface, StreamFormat, WeightsFormat
from hw.kernels import specs
from hw.kernels.specs.base import Spec, Stream, ValueType
from hw.kernels.specs.products import DigitRows


@dataclass(frozen=True, eq=False)
class Instance:
    """A kernel of the core, the layer whose values it gives, and where it takes from.

    Attributes:
        sources: numbers of other instances, or `INPUT`.
        spacing: cycles between two words that it gives, at the least.
    """

    name: str
    layer: Layer
    spec: Spec
    sources: tuple[int, ...]
    spacing: int

    @property
    def value(self) -> ValueType:
        """The type of the values that it gives."""
        return self.spec.outlet.value


@dataclass(frozen=True, eq=False)
class _Site:
    """What a kernel's choice depends on: its layer's neighbours, and words to hold for a FIFO before it."""

    takes: tuple[ValueType, ...]
    before: Instance | None
    after: Layer | None
    buffered: int
    order: Integers | None
    spacing: int

    @property
    def exact(self) -> bool:
        """Whether sums have to be exact; thresholds that follow take offsets up."""
        return not isinstance(self.after, dataflow.Threshold)


_TYPED: Mapping[type[Layer], Callable[[Any, ValueType], Spec]] = {
    dataflow.Reduce: specs.Reduce,
    dataflow.MaxPool: specs.MaxPool,
    dataflow.GlobalSum: specs.GlobalSum,
    dataflow.Fork: specs.Fork,
    dataflow.ArgMax: specs.ArgMax,
    dataflow.Tree: specs.Tree,
}
"""The kernels that depend on the type of their values alone."""


def _kernel(layer: Layer, site: _Site) -> Spec:
    x = site.takes[0]
    match layer:
        case dataflow.MatrixVector():
            return _matrix_vector(layer, site)
        case dataflow.Depthwise():
            return specs.Depthwise(layer, site.exact)
        case dataflow.Threshold():
            return _threshold(layer, site)
        case dataflow.Window():
            return specs.Window(layer, x, site.buffered)
        case dataflow.WidthConverter():
            return specs.WidthConverter(x, layer.i_lanes, layer.o_lanes)
        case dataflow.Fifo():
            return specs.Buffer(Stream(x, layer.lanes), layer.depth)
        case dataflow.Add():
            return specs.Add(layer, x, site.takes[1])
    return _TYPED[type(layer)](layer, x)


def _spacing(layer: Layer, before: int) -> int:
    """Cycles between the words of a layer at the least, where those that come are `before` cycles apart."""
    match layer:
        case dataflow.MatrixVector():
            return layer.synapse_folds
        case dataflow.Depthwise():
            return layer.taps // layer.simd
        case dataflow.Reduce():
            return layer.taps
        case dataflow.GlobalSum() if layer.lanes == layer.channels:
            return layer.pixels
        case dataflow.WidthConverter():
            ratio, rest = divmod(layer.o_lanes, layer.i_lanes)
            return 1 if rest else ratio * before
        case dataflow.ArgMax() | dataflow.Tree():
            return layer.cycles
        case dataflow.Window() | dataflow.Fifo():
            return 1
    return before


def _matrix_vector(layer: dataflow.MatrixVector, site: _Site) -> specs.MatrixVector | specs.Unfolded:
    """Without folds a tree of adders for these very weights, else multipliers with weights from memory."""
    if site.order is not None:
        layer = replace(layer, weights=layer.weights[:, site.order])
    if layer.folded == 1:
        return specs.Unfolded(layer, site.exact)
    replay = layer.neuron_folds > 1 and not _repeats(site.before)
    held = isinstance(site.after, dataflow.Threshold) and layer.synapse_folds >= site.after.bits
    return specs.MatrixVector(layer, site.exact, replay, held, site.buffered)


def _threshold(layer: dataflow.Threshold, site: _Site) -> specs.Threshold:
    """One comparator a lane where words come slowly enough for a search in turns."""
    before, held = None if site.before is None else site.before.spec, False
    if isinstance(before, specs.MatrixVector | specs.Unfolded | specs.Depthwise):
        layer = replace(layer, thresholds=layer.thresholds - before.offsets[:, None])
        held = isinstance(before, specs.MatrixVector) and before.held
    return specs.Threshold(layer, site.takes[0], site.spacing >= layer.bits, held)


def _repeats(before: Instance | None) -> bool:
    """Whether the words of a vector come more than once."""
    return before is not None and isinstance(before.layer, dataflow.Window) and before.layer.repeats > 1


class _Selection:
    """The instances so far."""

    def __init__(self, graph: DataflowGraph) -> None:
        self.graph = graph
        self.instances: list[Instance] = []
        self.numbers: dict[int, int] = {INPUT: INPUT}
        self.buffered: dict[int, int] = {}

    def add(self, index: int) -> None:
        """Add the kernel of a layer; a FIFO becomes the own buffer of a layer that has one."""
        graph, layer = self.graph, self.graph.layers[index]
        sources = tuple(self.numbers[source] for source in graph.links[index])
        consumers = graph.consumers(index)
        after = graph.layers[consumers[0]] if consumers else None
        before = [None if source == INPUT else self.instances[source] for source in sources]
        if isinstance(layer, dataflow.Fifo) and _has_buffer(after, before[0]):
            self.numbers[index], self.buffered[index] = sources[0], layer.depth
            return
        takes = tuple(ValueType(graph.input_bits) if each is None else each.value for each in before)
        _check_type(layer, takes[0])
        buffered = sum(self.buffered.get(source, 0) for source in graph.links[index])
        slowest = max((each.spacing for each in before if each is not None), default=1)
        site = _Site(takes, before[0], after, buffered, self._order(index), slowest)
        self.numbers[index] = len(self.instances)
        instance = Instance(layer.name, layer, _kernel(layer, site), sources, _spacing(layer, slowest))
        self.instances.append(instance)

    def _order(self, index: int) -> Integers | None:
        """The order of a vector's values where a window before the layer gives another than in `execute`."""
        passing = dataflow.Fifo | dataflow.WidthConverter
        layer, (source, *_) = self.graph.layers[index], self.graph.links[index]
        while source != INPUT and isinstance(self.graph.layers[source], passing):
            source = self.graph.links[source][0]
        before = None if source == INPUT else self.graph.layers[source]
        if not isinstance(before, dataflow.Window) or before.rows == 1 or isinstance(layer, passing):
            return None
        if not isinstance(layer, dataflow.MatrixVector):
            raise LoweringError(
                f"{layer.name}: cannot take columns of pixels; give {before.name} one row a word"
            )
        return before.order


def _has_buffer(layer: Layer | None, before: Instance | None) -> bool:
    """Whether a layer keeps words itself."""
    if isinstance(layer, dataflow.MatrixVector):
        return layer.neuron_folds > 1 and not _repeats(before)
    return isinstance(layer, dataflow.Window)


def _check_type(layer: Layer, given: ValueType) -> None:
    """Raise `LoweringError` where values of another type come than a layer is made for."""
    wanted = getattr(layer, "x_bits", None)
    if wanted is not None and given != ValueType(wanted):
        sign = "signed" if given.signed else "unsigned"
        raise LoweringError(
            f"{layer.name}: takes unsigned values of {wanted} bits, {sign} ones of {given.width} come"
        )


def select(graph: DataflowGraph) -> list[Instance]:
    """Kernels for the layers, in order; a FIFO before a layer that has a buffer makes that one deeper.

    Raises `LoweringError`: values of another type than a layer takes; names it.
    """
    selection = _Selection(graph)
    for index in range(len(graph.layers)):
        selection.add(index)
    return selection.instances


def interface_of(graph: DataflowGraph, instances: Sequence[Instance]) -> CoreInterface:
    """Formats of a core's streams and of the weights to load.

    Logits travel in the narrowest of 8, 16 and 32 bits that fits, unsigned where none can be negative.
    """
    if graph.input_bits != 8:
        raise LoweringError(f"the core takes uint8, the graph {graph.input_bits}-bit values")
    last = instances[-1]
    sizes = [size for size in (8, 16, 32) if size >= last.value.width]
    if not sizes:
        raise LoweringError(f"{last.name}: outputs of {last.value.width} bits do not fit 32")
    kind = "int" if last.value.signed else "uint"
    (first,) = graph.consumers(INPUT)
    return CoreInterface(
        StreamFormat(graph.shape, "uint8", graph.layers[first].i_lanes),
        StreamFormat((last.layer.o_elements,), f"{kind}{sizes[0]}", last.layer.o_lanes),
        _weights_format(instances),
    )


def weights_of(instances: Sequence[Instance]) -> bytes:
    """What `weights.bin` holds; nothing where no kernel has weights to load."""
    return b"".join(each.contents.astype("<u2").tobytes() for each in _loaded(instances))


def _loaded(instances: Sequence[Instance]) -> list[DigitRows]:
    """The weights to load, in order."""
    found = (each.spec.loaded for each in instances if isinstance(each.spec, specs.MatrixVector))
    return [each for each in found if each is not None]


def _weights_format(instances: Sequence[Instance]) -> WeightsFormat | None:
    columns = tuple(each.ram.depth for each in _loaded(instances) for _ in range(each.ram.columns))
    return WeightsFormat(columns, zlib.crc32(weights_of(instances))) if columns else None
