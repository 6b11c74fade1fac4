"""A graph as far as it is read."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.dataflow import Depthwise, Integers, Layer, MatrixVector
from hw.finn.graph import PLUMBING, base_kind
from hw.finn.reader.streams import NO_PADDING, Stream, exact
from hw.imported.origin import origin_of

_NAMES = {"ConvolutionInputGenerator": "window", "ElementwiseAdd": "add"}
"""What layers are called where FINN's own name, in lower case, would not do."""


class Reading:
    """The stream of every tensor read, and the layers made of them."""

    def __init__(self, model: Any, shape: tuple[int, ...], input_bits: int) -> None:
        self.model = model
        self.shape = shape
        self.input_bits = input_bits
        self.streams: dict[str, Stream] = {}
        self.layers: list[Layer] = []
        self.sources: list[tuple[int, ...]] = []
        self.origins: dict[str, str] = {}  # of layers, by name: what the file calls what they give
        self._absorbed: set[str] = set()
        self._serials: Counter[str] = Counter()  # FINN numbers each variant of a kind from 0

    def take(self, node: Any, reader: "Reader | None") -> None:
        """Read a node, whose inputs are read already; plumbing has no `reader`."""
        from qonnx.custom_op.registry import getCustomOp

        kind = base_kind(node)
        stream = self.streams[node.input[0]]
        if stream.padding != NO_PADDING and kind != "ConvolutionInputGenerator":
            raise LoweringError(f"{node.name} ({node.op_type}): takes padded values; only a window can")
        if stream.window is not None and kind not in ("MVAU", "VVAU", "Pool"):
            raise LoweringError(f"{node.name} ({node.op_type}): takes windows; Retort's hardware cannot")
        if reader is not None:
            name = f"{_NAMES.get(kind, kind.lower())}_{self._serials[kind]}"
            stream = reader(self, name, node, getCustomOp(node))
            if (origin := origin_of(self.model, node)) is not None:
                self.origins[name] = origin.tensor
            self._serials[kind] += 1
        for tensor in node.output:
            self.streams[tensor] = stream

    def add(self, layer: Layer, *sources: int) -> int:
        """Put a layer in; its place."""
        self.layers.append(layer)
        self.sources.append(sources)
        return len(self.layers) - 1

    def source_of(self, stream: Stream) -> int:
        """The place that gives a stream, its window put in if it has one."""
        return stream.source if stream.window is None else self.add(stream.window, stream.source)

    def integers(self, node: Any, place: int) -> Integers:
        """The constant integers that a node takes at a place."""
        tensor = node.input[place]
        values = self.model.get_initializer(tensor)
        if values is None or not np.array_equal(values, np.round(values)):
            raise LoweringError(f"{node.name}: parameters '{tensor}' are not constant integers")
        return values.astype(np.int64)  # type: ignore[no-any-return]

    def takers(self, tensor: str) -> set[str]:
        """Kinds of the layers that take a tensor, and `output` where it leaves the graph."""
        found = {"output"} if tensor == self.model.graph.output[0].name else set()
        for node in self.model.find_consumers(tensor) or ():
            behind = node.output if base_kind(node) in PLUMBING else ()
            found |= set().union(*map(self.takers, behind)) if behind else {base_kind(node)}
        return found

    def weigh(self, node: Any, op: Any, layer: MatrixVector | Depthwise, given: Stream) -> Stream:
        """Put in a layer with weights, which gives plain sums to thresholds, its own values to all else.

        A constant that is added to its sums is the layer's own.
        """
        made: Layer = layer
        tensor = node.output[0]
        if (add := self._constant_add(tensor)) is not None:
            given = replace(given, offset=given.offset + self.constant(add))
            tensor = add.output[0]
            self._absorbed.add(tensor)
        takers = self.takers(tensor) if op.get_nodeattr("noActivation") else {"Thresholding"}
        if takers != {"Thresholding"}:
            made, given = exact(layer, given, signed=takers <= {"output", "LabelSelect"})
        return replace(given, source=self.add(made, given.source))

    def absorbed(self, node: Any) -> bool:
        """Whether a node's constant is part of the layer before it."""
        return node.output[0] in self._absorbed

    def constant(self, node: Any) -> Integers:
        """The integers that a node adds, one or one for each channel."""
        return self.integers(node, 1).reshape(-1)

    def _constant_add(self, tensor: str) -> Any:
        """The node that alone takes a tensor, if it adds a constant."""
        nodes = self.model.find_consumers(tensor) or []
        if len(nodes) != 1 or base_kind(nodes[0]) != "ElementwiseAdd":
            return None
        return nodes[0] if self.model.get_initializer(nodes[0].input[1]) is not None else None


Reader = Callable[[Reading, str, Any, Any], Stream]
"""What makes layers of a node: the graph so far, the layer's name, the node, its FINN object."""
