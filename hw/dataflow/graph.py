"""Layers joined to a graph."""

from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.errors import LoweringError
from hw.dataflow.arithmetic import Depthwise, MatrixVector, Threshold
from hw.dataflow.plumbing import Add, ArgMax, Fifo, Fork, WidthConverter
from hw.dataflow.spatial import GlobalSum, MaxPool, Reduce, Window
from hw.dataflow.tree import Tree
from hw.dataflow.types import Integers

Layer: TypeAlias = (
    MatrixVector
    | Depthwise
    | Threshold
    | Window
    | Reduce
    | MaxPool
    | GlobalSum
    | WidthConverter
    | Fifo
    | Fork
    | Add
    | ArgMax
    | Tree
)

INPUT = -1
"""The graph's own input, as a source."""


@dataclass(frozen=True)
class DataflowGraph:
    """Layers from a frame of `shape` unsigned values of `input_bits` to logits or a label.

    Attributes:
        shape: of a frame: (inputs,), or (height, width, channels).
        layers: in an order in which every layer comes after those that it takes from.
        sources: for each layer the places in `layers` that it takes from, or `INPUT`; None for a chain.
            `Add` has two; every layer but the last is the source of one other, a `Fork` of two.

    Raises `LoweringError`: streams that do not fit each other; names the layers.
    """

    shape: tuple[int, ...]
    input_bits: int
    layers: tuple[Layer, ...]
    sources: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        names = Counter(layer.name for layer in self.layers)
        if twice := [name for name, count in names.items() if count > 1]:
            raise LoweringError(f"several layers are called {', '.join(twice)}; costs and taps go by name")
        for index, (layer, sources) in enumerate(zip(self.layers, self.links, strict=True)):
            if len(sources) != (2 if isinstance(layer, Add) else 1):
                raise LoweringError(f"{layer.name}: takes from {len(sources)} layers")
            for source in sources:
                self._check_stream(index, source)
        for index, layer in enumerate(self.layers[:-1]):
            wanted = 2 if isinstance(layer, Fork) else 1
            if len(self.consumers(index)) != wanted:
                raise LoweringError(f"{layer.name}: {len(self.consumers(index))} layers take from it")

    def _check_stream(self, index: int, source: int) -> None:
        after = self.layers[index]
        if not INPUT <= source < index:
            raise LoweringError(f"{after.name}: takes from layer {source}, which does not come before it")
        if source == INPUT:
            given = (self.inputs, after.i_lanes)
            before = "the input"
        else:
            given = (self.layers[source].o_elements, self.layers[source].o_lanes)
            before = self.layers[source].name
        if given != (after.i_elements, after.i_lanes):
            raise LoweringError(
                f"{after.name}: takes {after.i_elements} values a frame in words of {after.i_lanes} lanes,"
                f" {before} gives {given[0]} in words of {given[1]}"
            )

    @property
    def links(self) -> tuple[tuple[int, ...], ...]:
        """The sources of every layer."""
        if self.sources is None:
            return tuple((index - 1,) for index in range(len(self.layers)))
        return self.sources

    @property
    def inputs(self) -> int:
        """Values of a frame."""
        return int(np.prod(self.shape))

    def consumers(self, source: int) -> list[int]:
        """Places of the layers that take from a layer, or from the input."""
        return [index for index, sources in enumerate(self.links) for each in sources if each == source]

    @property
    def interval_bound(self) -> int:
        """Cycles between frames at the best: those of the slowest layer or stream."""
        return max(layer.cycles for layer in self.layers)

    def values(self, x: Integers) -> list[Integers]:
        """What every layer gives for frames `(n, inputs)`, in order."""
        frames: Integers = x.reshape(len(x), -1).astype(np.int64)
        given: list[Integers] = []
        for layer, sources in zip(self.layers, self.links, strict=True):
            taken = [frames if source == INPUT else given[source] for source in sources]
            given.append(layer.execute(*taken))
        return given

    def execute(self, x: Integers) -> Integers:
        """Logits `(n, classes)` or labels `(n, 1)` of frames `(n, inputs)`."""
        return self.values(x)[-1]
