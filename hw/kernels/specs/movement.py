"""Specifications of the kernels that move, join and compare values."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from hw import dataflow
from hw.dataflow.line_buffer import LineBuffer
from hw.kernels.specs.base import LayerSpec, LayerT, Spec, Stream, ValueType


@dataclass(frozen=True)
class Buffer(Spec):
    """A RAM that gives each frame of `frame` words `repeats` times; with the defaults a plain FIFO.

    `depth` words are asked for.
    """

    stream: Stream
    depth: int
    frame: int = 1
    repeats: int = 1

    @property
    def words(self) -> int:
        """Words of the RAM: a power of two, and a frame and a word at least."""
        return 1 << (max(self.depth, self.frame + 1, 2) - 1).bit_length()

    @property
    def outlet(self) -> Stream:  # noqa: D102
        return self.stream


@dataclass(frozen=True)
class WidthConverter(Spec):
    """Words of `i_lanes` values in, of `o_lanes` out."""

    value: ValueType
    i_lanes: int
    o_lanes: int

    @property
    def inlets(self) -> tuple[Stream, ...]:  # noqa: D102
        return (Stream(self.value, self.i_lanes),)

    @property
    def outlet(self) -> Stream:  # noqa: D102
        return Stream(self.value, self.o_lanes)


@dataclass(frozen=True)
class _Typed(LayerSpec[LayerT]):
    """The kernel of a layer that takes values of any type."""

    layer: LayerT
    x: ValueType


class Fork(_Typed[dataflow.Fork]):
    """Each word to two streams."""

    consumers: ClassVar[int] = 2


@dataclass(frozen=True)
class Add(_Typed[dataflow.Add]):
    """The sums of two streams of unsigned values, of types `x` and `y`."""

    y: ValueType

    @property
    def value(self) -> ValueType:
        """The type of the sums."""
        return ValueType.holding(0, (1 << self.x.width) + (1 << self.y.width) - 2)

    @property
    def inlets(self) -> tuple[Stream, ...]:  # noqa: D102
        return Stream(self.x, self.layer.lanes), Stream(self.y, self.layer.lanes)


class ArgMax(_Typed[dataflow.ArgMax]):
    """The index of the greatest value of a frame."""

    @property
    def value(self) -> ValueType:
        """The type of the labels."""
        return ValueType.holding(0, self.layer.channels - 1)


class Tree(_Typed[dataflow.Tree]):
    """A decision tree."""

    @property
    def value(self) -> ValueType:
        """The type of the labels."""
        return ValueType.holding(0, self.layer.classes - 1)


class Reduce(_Typed[dataflow.Reduce]):
    """The greatest of each channel's taps."""


class MaxPool(_Typed[dataflow.MaxPool]):
    """Max pooling without overlap."""

    @property
    def groups(self) -> int:
        """Words of a pixel."""
        return self.layer.shape[2] // self.layer.lanes

    @property
    def places(self) -> int:
        """Words of partial maxima that are kept: those of a row of cells."""
        return -(-self.layer.shape[1] // self.layer.size[1]) * self.groups


class GlobalSum(_Typed[dataflow.GlobalSum]):
    """Each channel's sum over a frame."""

    @property
    def groups(self) -> int:
        """Words of a pixel: sums that grow at the same time."""
        return self.layer.channels // self.layer.lanes

    @property
    def value(self) -> ValueType:
        """The type of the sums."""
        return ValueType(self.layer.bits)


@dataclass(frozen=True)
class Window(_Typed[dataflow.Window]):
    """The sliding window; its RAMs hold `buffered` words beside the least. The walk is `LineBuffer`'s."""

    buffered: int = 0

    @cached_property
    def buffer(self) -> LineBuffer:
        """The walk over the frame."""
        return LineBuffer(self.layer)

    @cached_property
    def banks(self) -> tuple[int, ...]:
        """Words of the RAM of each row in a word."""
        return self.buffer.banks_for(self.buffer.depth + self.buffered)

    @property
    def depth(self) -> int:
        """Words that the RAMs hold in all."""
        return self.buffer.capacity(self.banks)

    @property
    def place_bits(self) -> int:
        """Bits of a place in the stream of words, counted round and round."""
        return 1 + (max(self.depth, self.buffer.reach + 1) - 1).bit_length()
