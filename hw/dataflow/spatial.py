"""Layers that see neighbouring pixels: sliding window, pooling, the sum over an image."""

from dataclasses import dataclass

import numpy as np

from common.errors import LoweringError
from hw.dataflow.types import Integers, StreamLayer, check_divides


@dataclass(frozen=True)
class Window(StreamLayer):
    """The sliding window: for every output pixel the `kernel` of pixels beneath it (im2col).

    Attributes:
        shape: of the frame: height, width, channels.
        kernel: rows and columns.
        stride: down and across.
        padding: rows above, columns left, rows below, columns right; filled with `pad_value`.
        lanes: channels a word, in and out.
        rows: rows of the kernel a word: 1, or all of them, so that a word holds a column of pixels.
        repeats: how often the taps of a pixel are given, for a layer that reads them in each neuron fold.
        depthwise: taps grouped by word of channels (for `Depthwise` and `Reduce`) and not by pixel.

    A vector's order is (kernel row, kernel column, channel), with `depthwise` (group of `lanes` channels,
    kernel row, kernel column, channel in the group). With all `rows` in a word the hardware goes column by
    column; `order` tells.
    """

    name: str
    shape: tuple[int, int, int]
    kernel: tuple[int, int]
    lanes: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    rows: int = 1
    repeats: int = 1
    depthwise: bool = False
    pad_value: int = 0

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.shape[2])
        if self.rows not in (1, self.kernel[0]):
            raise LoweringError(f"{self.name}: {self.rows} rows a word; give 1 or all {self.kernel[0]}")
        if self.depthwise and (self.rows > 1 or self.repeats > 1):
            raise LoweringError(f"{self.name}: a depthwise window gives one tap a word, once")
        if min(self.o_shape) < 1:
            raise LoweringError(f"{self.name}: kernel {self.kernel} does not fit a frame of {self.shape}")

    @property
    def o_shape(self) -> tuple[int, int, int]:
        """Rows and columns of windows, values of each."""
        (height, width, channels), (top, left, bottom, right) = self.shape, self.padding
        return (
            (height + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (width + left + right - self.kernel[1]) // self.stride[1] + 1,
            self.taps * channels,
        )

    @property
    def taps(self) -> int:
        """Pixels of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def vectors(self) -> int:
        """Output pixels."""
        return self.o_shape[0] * self.o_shape[1]

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.lanes * self.rows

    @property
    def i_elements(self) -> int:  # noqa: D102
        return int(np.prod(self.shape))

    @property
    def o_elements(self) -> int:
        """Values a frame, each repetition counted once."""
        return int(np.prod(self.o_shape))

    @property
    def cycles(self) -> int:
        """Words a frame, in or out, whichever are more."""
        return max(self.i_elements // self.i_lanes, self.repeats * self.o_elements // self.o_lanes)

    @property
    def order(self) -> Integers:
        """For each value of a vector in hardware's order, its place in `execute`'s order."""
        (high, wide), channels = self.kernel, self.shape[2]
        places = np.arange(self.taps * channels)
        if self.rows == 1:
            return places
        grid = places.reshape(high, wide, channels // self.lanes, self.lanes)
        return grid.transpose(1, 2, 0, 3).reshape(-1)

    def execute(self, x: Integers) -> Integers:
        """Frames `(n, height * width * channels)` to windows `(n, vectors * taps * channels)`."""
        (top, left, bottom, right), (high, wide) = self.padding, self.kernel
        pads = ((0, 0), (top, bottom), (left, right), (0, 0))
        padded = np.pad(x.reshape(len(x), *self.shape), pads, constant_values=self.pad_value)
        views = np.lib.stride_tricks.sliding_window_view(padded, (high, wide), axis=(1, 2))
        views = views[:, :: self.stride[0], :: self.stride[1]]  # (n, rows, columns, channels, high, wide)
        if not self.depthwise:
            return np.ascontiguousarray(views.transpose(0, 1, 2, 4, 5, 3)).reshape(len(x), -1)
        groups = self.shape[2] // self.lanes
        grouped = views.reshape(*views.shape[:3], groups, self.lanes, high, wide)
        return np.ascontiguousarray(grouped.transpose(0, 1, 2, 3, 5, 6, 4)).reshape(len(x), -1)


@dataclass(frozen=True)
class Reduce(StreamLayer):
    """The greatest of each channel's `taps`, as a depthwise `Window` gives them, `lanes` channels a word."""

    name: str
    channels: int
    taps: int
    vectors: int
    lanes: int

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.channels)

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.o_elements * self.taps

    @property
    def o_elements(self) -> int:  # noqa: D102
        return self.vectors * self.channels

    def execute(self, x: Integers) -> Integers:
        """Windows to their greatest values, `(n, vectors * channels)`."""
        taken = x.reshape(len(x), self.vectors, self.channels // self.lanes, self.taps, self.lanes)
        greatest: Integers = taken.max(axis=3).reshape(len(x), -1)
        return greatest


@dataclass(frozen=True)
class MaxPool(StreamLayer):
    """Max pooling without overlap (stride is the size); a rest of rows or columns is dropped."""

    name: str
    shape: tuple[int, int, int]
    size: tuple[int, int]
    lanes: int

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.shape[2])
        if min(self.o_shape) < 1:
            raise LoweringError(f"{self.name}: size {self.size} does not fit a frame of {self.shape}")

    @property
    def o_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.shape[0] // self.size[0], self.shape[1] // self.size[1], self.shape[2])

    @property
    def i_elements(self) -> int:  # noqa: D102
        return int(np.prod(self.shape))

    @property
    def o_elements(self) -> int:  # noqa: D102
        return int(np.prod(self.o_shape))

    def execute(self, x: Integers) -> Integers:
        """Frames of `shape` to frames of `o_shape`, both flat."""
        (rows, columns, channels), (high, wide) = self.o_shape, self.size
        whole = x.reshape(len(x), *self.shape)[:, : rows * high, : columns * wide]
        cells = whole.reshape(len(x), rows, high, columns, wide, channels)
        greatest: Integers = cells.max(axis=(2, 4)).reshape(len(x), -1)
        return greatest


@dataclass(frozen=True)
class GlobalSum(StreamLayer):
    """Each channel's sum over all `pixels` of a frame; values of `x_bits`, `lanes` channels a word."""

    name: str
    pixels: int
    channels: int
    x_bits: int
    lanes: int

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.channels)

    @property
    def bits(self) -> int:
        """Bits of a sum."""
        return (self.pixels * ((1 << self.x_bits) - 1)).bit_length()

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.pixels * self.channels

    @property
    def o_elements(self) -> int:  # noqa: D102
        return self.channels

    def execute(self, x: Integers) -> Integers:
        """Frames `(n, pixels * channels)` to sums `(n, channels)`."""
        sums: Integers = x.reshape(len(x), self.pixels, self.channels).sum(axis=1)
        return sums
