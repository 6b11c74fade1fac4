"""Layers that compute, joined to a graph whose streams meet and whose slowest layer sets the rate."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import gcd

from common.errors import LoweringError
from hw.dataflow.arithmetic import Depthwise, MatrixVector
from hw.dataflow.graph import INPUT, DataflowGraph, Layer
from hw.dataflow.plumbing import Add, Fifo, Fork, WidthConverter
from hw.dataflow.schedule import fifo_depths
from hw.dataflow.spatial import Reduce, Window

Sources = tuple[int, ...]


def connect(
    shape: tuple[int, ...],
    input_bits: int,
    layers: Sequence[Layer],
    sources: Sequence[Sources] | None = None,
) -> DataflowGraph:
    """A graph of computing `layers`, folded, whose words need not meet.

    Arguments as of `DataflowGraph`; any number of layers may take from a layer or from the input. Windows get
    their lanes, rows and repeats from the layer behind them. Put in are a `Fork` where two layers take from
    one, a `WidthConverter` between unlike words, and a `Fifo` where words have to wait for a frame to come
    every `interval_bound` cycles.

    Raises `LoweringError`: layers that do not fit each other; names them.
    """
    links = tuple((index - 1,) for index in range(len(layers))) if sources is None else tuple(sources)
    made = _meet(_fit_windows(layers, links), links)
    return _buffer(DataflowGraph(shape, input_bits, tuple(made.layers), tuple(made.sources)))


def _fit_windows(layers: Sequence[Layer], links: Sequence[Sources]) -> list[Layer]:
    """Windows with the words that the layers behind them take."""
    behind = defaultdict(list)
    for layer, sources in zip(layers, links, strict=True):
        for source in sources:
            behind[source].append(layer)
    return [
        _fit(layer, behind[index][0]) if isinstance(layer, Window) and len(behind[index]) == 1 else layer
        for index, layer in enumerate(layers)
    ]


def _fit(window: Window, after: Layer) -> Window:
    """The window in words for the layer behind it."""
    plain = replace(window, rows=1, repeats=1, depthwise=False)
    match after:
        case MatrixVector():
            return _fit_matrix_vector(plain, after)
        case Depthwise():
            return replace(plain, lanes=after.pe, depthwise=True)
        case Reduce():
            return replace(plain, lanes=after.lanes, depthwise=True)
    return plain


def _fit_matrix_vector(window: Window, after: MatrixVector) -> Window:
    """Words of SIMD values that come once for each neuron fold; else narrower ones that make such words.

    A word holds channels of a pixel, or those of a column of pixels where a pixel's alone are too few.
    """
    channels, rows, simd = window.shape[2], window.kernel[0], after.simd
    pixels = replace(window, lanes=gcd(simd, channels))
    columns = replace(window, lanes=gcd(simd // rows, channels), rows=rows) if simd % rows == 0 else pixels
    for candidate in (pixels, columns):
        if candidate.o_lanes == simd:
            return replace(candidate, repeats=after.neuron_folds)
    return pixels if pixels.cycles <= max(after.cycles, columns.cycles) else columns


class _Assembly:
    """A graph in the making."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.sources: list[Sources] = []

    def add(self, layer: Layer, *sources: int) -> int:
        """Put a layer in; its place."""
        self.layers.append(layer)
        self.sources.append(sources)
        return len(self.layers) - 1

    def name(self, place: int) -> str:
        """The name of a layer, or of the input."""
        return "input" if place == INPUT else self.layers[place].name

    def outlets(self, place: int, consumers: int, lanes: int, elements: int) -> Iterator[int]:
        """Where so many layers find a stream; forks are put in."""
        places = [place]
        for number in range(consumers - 1):
            name = f"fork_{self.name(place)}" + (f"_{number}" if number else "")
            fork = self.add(Fork(name, elements, lanes), places.pop())
            places += [fork, fork]
        return iter(places)

    def converted(self, place: int, layer: Layer) -> int:
        """Where `layer` finds the words of a stream in its own width."""
        if place == INPUT or self.layers[place].o_lanes == layer.i_lanes:
            return place
        before = self.layers[place]
        name = f"dwc_{layer.name}" + (f"_{before.name}" if isinstance(layer, Add) else "")
        return self.add(WidthConverter(name, before.o_elements, before.o_lanes, layer.i_lanes), place)


def _meet(layers: Sequence[Layer], links: Sequence[Sources]) -> _Assembly:
    """Forks where several layers take from one, converters between unlike words."""
    made = _Assembly()
    consumers = Counter(source for sources in links for source in sources)
    first = next(layer for layer, sources in zip(layers, links, strict=True) if INPUT in sources)
    outlets = {INPUT: made.outlets(INPUT, consumers[INPUT], first.i_lanes, first.i_elements)}
    for index, (layer, sources) in enumerate(zip(layers, links, strict=True)):
        if missing := [source for source in sources if source not in outlets]:
            raise LoweringError(f"{layer.name}: takes from layer {missing[0]}, which does not come before it")
        place = made.add(layer, *[made.converted(next(outlets[source]), layer) for source in sources])
        if isinstance(layer, Fork):
            outlets[index] = iter([place] * consumers[index])
        else:
            outlets[index] = made.outlets(place, consumers[index], layer.o_lanes, layer.o_elements)
    return made


def _buffer(graph: DataflowGraph) -> DataflowGraph:
    """The graph with a FIFO wherever words wait."""
    made = _Assembly()
    places = {INPUT: INPUT}
    depths = fifo_depths(graph.layers, graph.links, graph.interval_bound)
    for index, (layer, sources) in enumerate(zip(graph.layers, graph.links, strict=True)):
        taken = [places[source] for source in sources]
        for number, depth in enumerate(depths[index]):
            if depth:
                name = f"fifo_{layer.name}" + (f"_{number}" if len(sources) > 1 else "")
                taken[number] = made.add(Fifo(name, layer.i_elements, layer.i_lanes, depth), taken[number])
        places[index] = made.add(layer, *taken)
    return DataflowGraph(graph.shape, graph.input_bits, tuple(made.layers), tuple(made.sources))
