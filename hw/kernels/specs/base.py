"""What all kernel specifications share: types of values, streams, and widths of counters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from hw.dataflow import Layer

LayerT = TypeVar("LayerT", bound=Layer)


@dataclass(frozen=True)
class ValueType:
    """Integers of `width` bits, in two's complement where `signed`."""

    width: int
    signed: bool = False

    @classmethod
    def holding(cls, low: int, high: int) -> "ValueType":
        """The narrowest type for all integers from `low` to `high`."""
        bits = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)
        return cls(bits + (low < 0), low < 0)


def narrowest(low: int, high: int) -> ValueType:
    """The narrowest type for 0 and all from `low` to `high`, one bit at least."""
    return ValueType.holding(min(0, low), max(1, high))


@dataclass(frozen=True)
class Stream:
    """A valid/ready stream whose word packs `lanes` values, the first in the lowest bits."""

    value: ValueType
    lanes: int

    @property
    def bits(self) -> int:
        """Bits of a word."""
        return self.value.width * self.lanes


class Spec(ABC):
    """What a kernel is: its streams here, its structure in the subclass."""

    consumers: ClassVar[int] = 1
    """Streams out, all of the same words."""

    @property
    def inlets(self) -> tuple[Stream, ...]:
        """The streams in: one like `outlet`, unless a subclass says otherwise."""
        return (self.outlet,)

    @property
    @abstractmethod
    def outlet(self) -> Stream:
        """The stream out."""


class LayerSpec(Spec, Generic[LayerT]):
    """The kernel of one dataflow layer, which takes values of type `x`."""

    layer: LayerT
    x: ValueType

    @property
    def value(self) -> ValueType:
        """The type of the values that come out."""
        return self.x

    @property
    def inlets(self) -> tuple[Stream, ...]:  # noqa: D102
        return (Stream(self.x, self.layer.i_lanes),)

    @property
    def outlet(self) -> Stream:  # noqa: D102
        return Stream(self.value, self.layer.o_lanes)


def counter_width(count: int) -> int:
    """Bits of a counter of 0..count-1, at least one."""
    return max(1, (count - 1).bit_length())


def pack(values: Sequence[int], width: int) -> int:
    """Integers (two's complement) of `width` bits side by side, the first in the lowest bits."""
    mask = (1 << width) - 1
    return sum((int(value) & mask) << (width * lane) for lane, value in enumerate(values))
