"""What flows between FINN's layers, as Retort's hardware carries it: unsigned counts, scaled and offset."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from common.errors import LoweringError
from hw.dataflow import INPUT, Depthwise, Integers, MatrixVector, Window

NO_PADDING = (0, 0, 0, 0)


@dataclass(frozen=True)
class Stream:
    """A tensor of FINN's graph: its values are `scale * carried + offset`, channel by channel.

    Attributes:
        source: place of the layer that gives it, or `INPUT`.
        shape: (height, width, channels), or (features,).
        low, high: least and greatest of what is carried, (channels,).
        offset: (channels,).
        padding: zeros that FINN puts around it (as of `Window`); only a window can follow.
        window: taken by a window that is no layer yet, for what follows decides which.
        carried_bits: that the layer before gives, even where `high` needs fewer.
    """

    source: int
    shape: tuple[int, ...]
    low: Integers
    high: Integers
    scale: int
    offset: Integers
    padding: tuple[int, int, int, int] = NO_PADDING
    window: Window | None = None
    carried_bits: int = 1

    @property
    def channels(self) -> int:  # noqa: D102
        return self.shape[-1]

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width, channels; a vector is one pixel."""
        height, width = self.shape[:2] if len(self.shape) == 3 else (1, 1)
        return height, width, self.channels

    @property
    def bits(self) -> int:
        """Bits of what is carried."""
        return max(self.carried_bits, int(self.high.max()).bit_length())

    @property
    def pixels(self) -> int:
        """Vectors of a frame: pixels, or windows."""
        return prod(self.shape[:-1]) if self.window is None else self.window.vectors

    @property
    def elements(self) -> int:
        """Values of a frame, in windows if it has one."""
        return prod(self.shape) if self.window is None else self.window.o_elements

    def tiled(self, figures: Integers, inputs: int) -> Integers:
        """A figure of each channel for each of a vector's `inputs`, pixel by pixel."""
        return np.tile(figures, inputs // self.channels)


def input_stream(shape: tuple[int, ...], bits: int) -> Stream:
    """The graph's own input, unsigned."""
    zeros = np.zeros(shape[-1], np.int64)
    return Stream(INPUT, shape, zeros, zeros + (1 << bits) - 1, 1, zeros)


def pad_value(stream: Stream, name: str) -> int:
    """What is carried for the 0 that FINN pads with."""
    values = np.unique(-stream.offset)
    if len(values) > 1 or values[0] % stream.scale or values[0] < 0:
        raise LoweringError(f"{name}: pads with 0, which its input cannot be; quantize it with zero included")
    return int(values[0]) // stream.scale


def sums(stream: Stream, weights: Integers, constant: Integers) -> Stream:
    """`weights` (outputs, inputs) by each of a stream's vectors, plus a `constant` (outputs,)."""
    inputs = weights.shape[1]
    low, high = stream.tiled(stream.low, inputs), stream.tiled(stream.high, inputs)
    positive: Integers = np.maximum(weights, 0)
    negative: Integers = np.minimum(weights, 0)
    least: Integers = positive @ low + negative @ high
    greatest: Integers = positive @ high + negative @ low
    offset: Integers = weights @ stream.tiled(stream.offset, inputs) + constant
    return Stream(stream.source, (len(weights),), least, greatest, stream.scale, offset)


def channel_sums(stream: Stream, weights: Integers, image: tuple[int, int]) -> Stream:
    """Each channel's taps by its `weights` (channels, taps): a `image` of rows and columns."""
    positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    return Stream(
        stream.source,
        (*image, len(weights)),
        positive * stream.low + negative * stream.high,
        positive * stream.high + negative * stream.low,
        stream.scale,
        weights.sum(axis=1) * stream.offset,
    )


def exact(
    layer: MatrixVector | Depthwise, given: Stream, *, signed: bool
) -> tuple[MatrixVector | Depthwise, Stream]:
    """The layer with scale and offset in its weights and bias, so that its values are what it carries.

    Unless `signed`, the least is carried as 0 where it is negative, and the rest is a common offset. Bounds
    are those of any input that its bits can hold, as the kernels have them.
    """
    weights: Integers = layer.weights * given.scale
    greatest = (1 << layer.x_bits) - 1
    low: Integers = np.minimum(weights, 0).sum(axis=1) * greatest + given.offset
    high: Integers = np.maximum(weights, 0).sum(axis=1) * greatest + given.offset
    least = 0 if signed else min(0, int(low.min()))
    bias = given.offset - least
    made = replace(layer, weights=weights, bias=bias if bias.any() else None)
    offset = np.full_like(given.offset, least)
    return made, replace(given, low=low - least, high=high - least, scale=1, offset=offset)
