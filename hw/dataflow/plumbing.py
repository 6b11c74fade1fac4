"""Layers that move words and join streams: width converter, FIFO, fork, add, arg-max."""

from dataclasses import dataclass

from hw.dataflow.types import Integers, StreamLayer, check_divides


@dataclass(frozen=True)
class _Same(StreamLayer):
    """A frame of `elements` in words of `lanes`, in and out."""

    name: str
    elements: int
    lanes: int

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.elements)

    @property
    def i_elements(self) -> int:
        return self.elements


@dataclass(frozen=True)
class Fifo(_Same):
    """Room for `depth` words between two layers."""

    depth: int

    def execute(self, x: Integers) -> Integers:
        """The frames as they are."""
        return x


@dataclass(frozen=True)
class Fork(_Same):
    """Each word to both of the two layers that take from it."""

    def execute(self, x: Integers) -> Integers:
        """The frames as they are."""
        return x


@dataclass(frozen=True)
class Add(_Same):
    """The sums of two streams of unsigned values."""

    def execute(self, x: Integers, y: Integers) -> Integers:
        """The sums, element by element."""
        return x + y


@dataclass(frozen=True)
class WidthConverter:
    """The same `elements` a frame, in words of `o_lanes` in place of `i_lanes`."""

    name: str
    elements: int
    i_lanes: int
    o_lanes: int

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.elements

    @property
    def o_elements(self) -> int:  # noqa: D102
        return self.elements

    @property
    def cycles(self) -> int:
        """Words a frame on the narrower side."""
        return self.elements // min(self.i_lanes, self.o_lanes)

    def execute(self, x: Integers) -> Integers:
        """The frames as they are."""
        return x


@dataclass(frozen=True)
class ArgMax(StreamLayer):
    """The index of the greatest of `channels` values, the first of equals; PE values a word."""

    name: str
    channels: int
    pe: int

    def __post_init__(self) -> None:
        check_divides(self.name, "PE", self.pe, self.channels)

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return 1

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.channels

    @property
    def o_elements(self) -> int:  # noqa: D102
        return 1

    def execute(self, x: Integers) -> Integers:
        """Values `(n, channels)` to labels `(n, 1)`."""
        labels: Integers = x.argmax(axis=1, keepdims=True)
        return labels
