"""The network read node by node, and the integer network written as it is read."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError
from hw.dataflow import Integers
from hw.imported.constants import Constants
from hw.imported.layout import Layout, series_axis
from hw.imported.nodes import attributes, called
from hw.imported.steps import MAKERS, Operands
from hw.imported.tensor import SAME, Tensor, split_at_quantizer, thresholds
from hw.imported.writer import Writer


class Reading:
    """What is known of every tensor, by name, as far as the network is read."""

    def __init__(self, model: Any, layout: Layout) -> None:
        self.model = model
        self.layout = layout
        self.writer = Writer()
        self.constants = Constants(model)
        self.tensors: dict[str, Tensor] = {}
        self.series_axis = series_axis(model)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor as the network has it."""
        return tuple(self.model.get_tensor_shape(name) or ())

    def tensor(self, node: Any, place: int = 0) -> Tensor:
        """What a node takes at a place; raises `LoweringError` for a constant."""
        name = node.input[place]
        if name not in self.tensors:
            raise LoweringError(f"{called(node)}: input {place} is no tensor of the network's frames")
        takers = len(self.model.find_consumers(name) or []) + (name == self.model.graph.output[0].name)
        if takers > 1:  # one threshold layer for all of them
            self.tensors[name] = replace(self.thresholded(self.tensors[name]), shared=True)
        return self.tensors[name]

    def quantized(self, node: Any, place: int = 0) -> Tensor:
        """The same as integers by a scale and an offset: thresholds are written up to its last quantizer.

        Raises `LoweringError`, naming the node behind which a quantizer is missing.
        """
        tensor = self.thresholded(self.tensor(node, place))
        self.tensors[node.input[place]] = tensor  # for others that take it
        return tensor.affine()

    def thresholded(self, tensor: Tensor) -> Tensor:
        """The tensor in terms of the integers that its last quantizer gives, if it has one."""
        before, quantizer, behind = split_at_quantizer(tensor)
        if quantizer is None:
            return tensor
        step = tensor.steps[len(before)]
        node = step.node
        tensor = self.ascending(replace(tensor, steps=before), node)
        scale = np.broadcast_to(quantizer.scale.reshape(-1), tensor.low.shape)
        given = replace(tensor, scale=scale, offset=np.zeros_like(scale), steps=behind)
        if (constant := _identity(tensor, before, quantizer)) is not None:
            return replace(given, offset=scale * constant)
        levels, first = thresholds(tensor, before, quantizer, node)
        least = quantizer.least + first
        with self.writer.standing_for(step.gives):
            name = self.writer.threshold(
                tensor.name, levels, least, bipolar=quantizer.bipolar, flat=len(tensor.shape) == 1
            )
        greatest = 1 if quantizer.bipolar else least + levels.shape[1]
        low = np.full_like(tensor.low, least)
        return replace(given, name=name, low=low, high=np.full_like(low, greatest), shared=False)

    def ascending(self, tensor: Tensor, node: str) -> Tensor:
        """The same of integers that its steps do not turn around: channels that they do are negated."""
        signs = tensor.signs()
        if (signs > 0).all():
            return tensor
        return self.multiplied(tensor, signs, node)

    def multiplied(self, tensor: Tensor, factors: Integers, node: str) -> Tensor:
        """The same of integers times a factor for each channel, in their own layer or one behind it."""
        if not tensor.shared and self.writer.scale(tensor.name, factors):
            name = tensor.name
        elif len(tensor.shape) == 3:
            weights = factors.reshape(-1, 1, 1, 1)
            options: dict[str, Any] = {"strides": [1, 1], "pads": [0] * 4, "group": len(factors)}
            with self.writer.standing_for(self.writer.sources[tensor.name]):
                name = self.writer.conv(tensor.name, weights, **options)
        else:
            raise LoweringError(
                f"{node}: turns features of its input around; negate them in the data,"
                " or put a layer before it"
            )
        ends = np.stack([tensor.low * factors, tensor.high * factors])
        low, high = ends.min(axis=0), ends.max(axis=0)
        return replace(tensor, name=name, low=low, high=high, scale=tensor.scale / factors, shared=False)

    def centred(self, tensor: Tensor, node: str) -> Tensor:
        """The same of integers where 0 stands for 0, as padding wants."""
        steps = tensor.offset / tensor.scale
        whole = np.rint(steps).astype(np.int64)
        if (whole != whole[0]).any() or np.abs(steps - whole).max() > SAME * 256:
            raise LoweringError(
                f"{node}: pads with 0, which its input cannot be; quantize the input with zero included"
            )
        if not whole.any():
            return tensor
        return replace(self._added(tensor, whole), offset=np.zeros_like(tensor.offset))

    def from_zero(self, tensor: Tensor) -> Tensor:
        """The same of integers that are never below 0, so that padding with 0 is never the greatest."""
        least = int(tensor.low.min())
        return tensor if least >= 0 else self._added(tensor, -np.full_like(tensor.low, least))

    def _added(self, tensor: Tensor, added: Integers) -> Tensor:
        name = self.writer.add(tensor.name, added[:1])
        low, high, offset = tensor.low + added, tensor.high + added, tensor.offset - tensor.scale * added
        return replace(tensor, name=name, low=low, high=high, offset=offset, shared=False)

    def elementwise(self, node: Any) -> Tensor:
        """An elementwise node with constants, as a step of its tensor."""
        places = [place for place, name in enumerate(node.input) if name in self.tensors]
        if not places:
            raise LoweringError(f"{called(node)}: takes what no node before it gives; export it again")
        place = places[0]
        tensor = self.tensor(node, place)
        constants = {}
        for other, name in enumerate(node.input):
            if name and other != place:
                found = self.constants.find(name)
                if found is None:
                    raise LoweringError(
                        f"{called(node)}: takes two tensors; Retort's hardware has no layer for it"
                    )
                constants[other] = self._per_channel(node, tensor, found.values)
        steps = MAKERS[node.op_type](Operands(called(node), constants, place, attributes(node)))
        steps = tuple(replace(step, gives=node.output[0]) for step in steps)
        return replace(tensor, steps=(*tensor.steps, *steps))

    def _per_channel(self, node: Any, tensor: Tensor, values: NDArray[Any]) -> NDArray[np.float32]:
        """A constant as one number, or one for each channel of the integers."""
        values = np.asarray(values, np.float32)
        if np.isnan(values).any():
            raise LoweringError(f"{called(node)}: a constant that is no number; train and export it again")
        if node.op_type == "MultiThreshold":
            return values
        if values.size == 1:
            return values.reshape(())
        real = self.shape(node.output[0])
        if node.op_type == "BatchNormalization":
            values = values.reshape(1, -1, *[1] * (len(real) - 2))
        try:
            spread = np.broadcast_to(values, real)[0].reshape(tensor.channels, -1)
        except ValueError as error:
            raise LoweringError(f"{called(node)}: a constant of {values.shape} on {real}") from error
        if np.ptp(spread, axis=1).any():
            raise LoweringError(
                f"{called(node)}: differs within a channel; Retort's hardware has no layer for it"
            )
        return np.ascontiguousarray(spread[:, 0])


def _identity(tensor: Tensor, before: Any, quantizer: Any) -> int | None:
    """What a quantizer adds to integers that it otherwise leaves as they are; None where it changes them."""
    low, high = int(tensor.low.min()), int(tensor.high.max())
    if quantizer.bipolar or high - low > quantizer.levels:
        return None
    integers = np.arange(low, high + 1)[:, None] + np.zeros_like(tensor.low)
    added = quantizer.counts(tensor.evaluate(integers, before)) + quantizer.least - integers
    return int(added.flat[0]) if not np.ptp(added) else None
