"""What the layers of an integer network compute on frames: exact integers in numpy.

Frames are (n, height, width, channels); a dense layer takes them flat in that order. Sums run in float32
through BLAS, which is exact: no accumulator can reach 2^24, and that is checked.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import ContractError
from common.topology import Pair, Shape

EXACT_LIMIT = 2**24
"""Float32 holds every integer below this; see the numeric contract in the design."""

Frames: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Weights int8 of `weight_bits` bits, each standing for itself times `weight_scale`."""

    weights: NDArray[np.int8]
    weight_bits: int
    weight_scale: float

    @property
    def matrix(self) -> NDArray[np.int8]:
        """A row for each output channel."""
        return self.weights.reshape(len(self.weights), -1)

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return len(self.weights)


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """Fully connected: weights (outputs, inputs)."""

    def out_shape(self, shape: Shape) -> Shape:
        """Shape of what it makes of frames of `shape`."""
        _check_fit(self.weights.shape[1], shape[0] * shape[1] * shape[2])
        return (1, 1, self.outputs)

    def execute(self, x: Frames) -> Frames:
        """Frames of `inputs` values to (n, 1, 1, outputs)."""
        sums = x.reshape(len(x), self.matrix.shape[1]).astype(np.float32) @ self.matrix.T.astype(np.float32)
        return sums.astype(np.int32)[:, None, None]


@dataclass(frozen=True, eq=False)
class _Kernels(Weighted):
    """Kernels that slide over zero-padded frames."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def out_shape(self, shape: Shape) -> Shape:
        """Shape of what it makes of frames of `shape`."""
        _check_fit(self.weights.shape[3] if self.weights.ndim == 4 else self.outputs, shape[2])
        return (*_slid(shape, self.weights.shape[1:3], self.stride, self.padding), self.outputs)

    def _views(self, x: Frames) -> Frames:
        return _windows(x, self.weights.shape[1:3], self.stride, self.padding)


@dataclass(frozen=True, eq=False)
class Conv(_Kernels):
    """Convolution: weights (outputs, kernel rows, kernel columns, inputs)."""

    def execute(self, x: Frames) -> Frames:
        """Frames to accumulators (n, rows, columns, outputs)."""
        views = self._views(x)
        columns = views.transpose(0, 1, 2, 4, 5, 3).reshape(*views.shape[:3], self.matrix.shape[1])
        return (columns.astype(np.float32) @ self.matrix.T.astype(np.float32)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Depthwise(_Kernels):
    """Convolution of each channel by itself: weights (channels, kernel rows, kernel columns)."""

    def execute(self, x: Frames) -> Frames:
        """Frames to accumulators (n, rows, columns, channels)."""
        sums: Frames = np.einsum("nhwckl,ckl->nhwc", self._views(x), self.weights.astype(np.int32))
        return sums


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The greatest of each `size` of pixels."""

    size: Pair
    stride: Pair

    def out_shape(self, shape: Shape) -> Shape:
        """Shape of what it makes of frames of `shape`."""
        return (*_slid(shape, self.size, self.stride, (0, 0)), shape[2])

    def execute(self, x: Frames) -> Frames:
        """Frames to frames."""
        greatest: Frames = _windows(x, self.size, self.stride, (0, 0)).max(axis=(4, 5))
        return greatest


@dataclass(frozen=True, eq=False)
class SumPool:
    """The sum of each `size` of pixels, without overlap, times `scale`, a power of two."""

    size: Pair
    scale: float

    @property
    def pixels(self) -> int:
        """Pixels a sum."""
        return self.size[0] * self.size[1]

    def out_shape(self, shape: Shape) -> Shape:
        """Shape of what it makes of frames of `shape`."""
        return (*_slid(shape, self.size, self.size, (0, 0)), shape[2])

    def execute(self, x: Frames) -> Frames:
        """Frames to frames."""
        return np.asarray(_windows(x, self.size, self.size, (0, 0)).sum(axis=(4, 5)), np.int32)


@dataclass(frozen=True, eq=False)
class Add:
    """The sum of two frames of the same shape and scale."""

    def out_shape(self, shape: Shape) -> Shape:
        """Shape of what it makes of frames of `shape`."""
        return shape

    def execute(self, x: Frames, y: Frames) -> Frames:
        """Add them, value by value."""
        return x + y


Operation: TypeAlias = Dense | Conv | Depthwise | MaxPool | SumPool | Add


def _windows(x: Frames, size: Any, stride: Pair, padding: Pair) -> Frames:
    """Views of the pixels beneath each position of a kernel: (n, rows, columns, channels, *size)."""
    (down, across) = padding
    padded = np.pad(x, ((0, 0), (down, down), (across, across), (0, 0))) if max(padding) else x
    views = np.lib.stride_tricks.sliding_window_view(padded, tuple(size), axis=(1, 2))
    strided: Frames = views[:, :: stride[0], :: stride[1]]
    return strided


def _slid(shape: Shape, size: Any, stride: Pair, padding: Pair) -> Pair:
    """Rows and columns that a sliding kernel gives."""
    rows, columns = (
        (side + 2 * pad - reach) // step + 1
        for side, pad, reach, step in zip(shape[:2], padding, size, stride, strict=True)
    )
    if min(rows, columns) < 1:
        raise ContractError(f"kernel {tuple(size)} is greater than its frames, {shape}; match the layers")
    return (rows, columns)


def _check_fit(taken: int, offered: int) -> None:
    if taken != offered:
        raise ContractError(
            f"takes {taken} activations, what comes before it gives {offered}; match the layers"
        )


def accumulator_range(weights: NDArray[Any], input_max: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give least and greatest accumulator (outputs,) of `weights` (outputs, ...) on 0..`input_max`."""
    wide = weights.reshape(len(weights), -1).astype(np.int64)
    return np.minimum(wide, 0).sum(axis=1) * input_max, np.maximum(wide, 0).sum(axis=1) * input_max


def reachable(
    operation: Operation, input_max: int, shape: Shape
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the least and the greatest result of each channel, over inputs of 0 to `input_max`."""
    match operation:
        case Weighted():
            return accumulator_range(operation.weights, input_max)
        case SumPool():
            greatest = input_max * operation.pixels
        case Add():
            greatest = 2 * input_max
        case MaxPool():
            greatest = input_max
    return np.zeros(shape[2], np.int64), np.full(shape[2], greatest, np.int64)


def check_accumulator(where: str, low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Check that no partial sum can leave the integers that float32 holds exactly.

    Raises `ContractError`: with `where` in front, gives the figure.
    """
    peak = int(max(-low.min(), high.max()))
    if peak >= EXACT_LIMIT:
        raise ContractError(
            f"{where}: the accumulator can reach {peak}, float32 is exact below {EXACT_LIMIT}; "
            "use fewer bits or fewer inputs"
        )


def check_weights(where: str, operation: Weighted) -> None:
    """Check type and range of the weights. Raises `ContractError`: with `where` in front."""
    weights, sizes = operation.weights, {Dense: 2, Conv: 4, Depthwise: 3}[type(operation)]
    if weights.dtype != np.int8 or weights.ndim != sizes or not weights.size:
        raise ContractError(
            f"{where}: weights are {weights.dtype} {weights.shape}; give int8 of {sizes} axes"
        )
    limit = max(1, 2 ** (operation.weight_bits - 1) - 1)
    magnitudes = np.abs(weights.astype(np.int16))
    if magnitudes.max() > limit:
        raise ContractError(f"{where}: a weight is outside -{limit} to {limit}; give more weight bits")
    if operation.weight_bits == 1 and magnitudes.min() == 0:
        raise ContractError(f"{where}: a weight is 0; binary weights are -1 and 1")
