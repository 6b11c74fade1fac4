"""The layers of a student.

Images are (height, width, channels); a series of samples in time is (time, 1, channels), so that its
kernels are (k, 1).
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from annotated_types import Ge, Le, MinLen

MIN_WEIGHT_BITS, MAX_WEIGHT_BITS = 1, 8
MIN_ACTIVATION_BITS, MAX_ACTIVATION_BITS = 1, 8

Width = Annotated[int, Ge(1), Le(65_536)]
"""Neurons or channels."""
WeightBits = Annotated[int, Ge(MIN_WEIGHT_BITS), Le(MAX_WEIGHT_BITS)]
ActivationBits = Annotated[int, Ge(MIN_ACTIVATION_BITS), Le(MAX_ACTIVATION_BITS)]
AccumulatorBits = Annotated[int, Ge(1), Le(64)]

Pair: TypeAlias = tuple[int, int]
Sides = Annotated[Pair, Ge(1)]
Padding = Annotated[Pair, Ge(0)]
"""Rows and columns, with the least of both."""
Shape: TypeAlias = tuple[int, int, int]
INPUT = -1
"""The network's own input, as a source."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer over all values of what comes before.

    Attributes:
        outputs: number of output channels.
        weight_bits: width of a weight, 1 to 8 bits: 1 is binary (-1, 1), 2 ternary (-1, 0, 1), n narrow-range
            signed (-(2^(n-1) - 1) to 2^(n-1) - 1).
        activation_bits: width of an unsigned activation, 1 to 8 bits; None for integer logits (last layer).
        accumulator_bits: signed bits that no sum may leave, in whatever order it is made and of whatever
            inputs; None for as many as the weights come to.
    """

    outputs: Width
    weight_bits: WeightBits
    activation_bits: ActivationBits | None
    accumulator_bits: AccumulatorBits | None = None


@dataclass(frozen=True)
class Conv:
    """A convolution, zero-padded by `padding` rows above and below and columns left and right.

    Without activation bits (last layer) it gives a map of integer logits.
    """

    outputs: Width
    kernel: Sides
    weight_bits: WeightBits
    activation_bits: ActivationBits | None
    stride: Sides = (1, 1)
    padding: Padding = (0, 0)
    accumulator_bits: AccumulatorBits | None = None


@dataclass(frozen=True)
class Depthwise:
    """A convolution of each channel by itself; with a 1 by 1 `Conv` after it, a separable one."""

    kernel: Sides
    weight_bits: WeightBits
    activation_bits: ActivationBits
    stride: Sides = (1, 1)
    padding: Padding = (0, 0)
    accumulator_bits: AccumulatorBits | None = None


@dataclass(frozen=True)
class MaxPool:
    """The greatest of each `size` of pixels; `stride` is the size where it is None."""

    size: Sides
    stride: Sides | None = None


@dataclass(frozen=True)
class AveragePool:
    """The sum over each `size` of pixels (None: all of them) over the next power of two, so that it is exact.

    `activation_bits` None leaves the sum as it is, for the last layer to take.
    """

    size: Sides | None
    activation_bits: ActivationBits | None


@dataclass(frozen=True)
class Residual:
    """`body` plus what came in, or plus `shortcut` of it, cut off at the top of `activation_bits`.

    Both sides end in activations of `activation_bits`.
    """

    body: Annotated[tuple[Conv | Depthwise, ...], MinLen(1)]
    activation_bits: ActivationBits
    shortcut: Conv | None = None


@dataclass(frozen=True)
class Add:
    """Where the two sides of a `Residual` meet; only in `Topology.steps`."""

    activation_bits: int


Layer: TypeAlias = Dense | Conv | Depthwise | MaxPool | AveragePool | Residual
SimpleLayer: TypeAlias = Dense | Conv | Depthwise | MaxPool | AveragePool | Add
