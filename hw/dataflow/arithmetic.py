"""Layers that compute: matrix-vector, depthwise and multi-threshold."""

from dataclasses import dataclass, field

import numpy as np

from common.errors import LoweringError
from hw.dataflow.types import Integers, Memory, Multiply, StreamLayer, check_divides


@dataclass(frozen=True)
class MatrixVector:
    """`weights @ x + bias` for each of a frame's `vectors`; PE neurons by SIMD inputs a cycle.

    `weights` (outputs, inputs), `x` unsigned of `x_bits`, `bias` (outputs,). A dense layer has one vector, a
    convolution as many as its output has pixels, behind a `Window` unless its kernel is 1 by 1. `multiply`
    says where folded hardware multiplies: in LUTs, by tables in block RAM, or in DSP slices. `memory` says
    where it has its weights; single-port RAM is for products in LUTs.
    """

    name: str
    weights: Integers = field(repr=False)
    x_bits: int
    pe: int
    simd: int
    vectors: int = 1
    bias: Integers | None = field(default=None, repr=False)
    multiply: Multiply = "lut"
    memory: Memory = "rom"

    def __post_init__(self) -> None:
        check_divides(self.name, "PE", self.pe, self.outputs)
        check_divides(self.name, "SIMD", self.simd, self.inputs)
        if self.memory == "single-port" and (self.multiply != "lut" or self.folded == 1):
            raise LoweringError(
                f"{self.name}: weights in single-port RAM are for folded layers that multiply in LUTs;"
                " fold it further, or keep its weights in the bitstream"
            )

    @property
    def inputs(self) -> int:
        """MW: values of a vector."""
        return int(self.weights.shape[1])

    @property
    def outputs(self) -> int:
        """MH: neurons."""
        return int(self.weights.shape[0])

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.simd

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.vectors * self.inputs

    @property
    def o_elements(self) -> int:  # noqa: D102
        return self.vectors * self.outputs

    @property
    def synapse_folds(self) -> int:
        """SF: words of input a vector, cycles an output word."""
        return self.inputs // self.simd

    @property
    def neuron_folds(self) -> int:
        """NF: how often each vector is read."""
        return self.outputs // self.pe

    @property
    def folded(self) -> int:
        """Cycles a vector; 1 of a layer that is not folded, whose hardware holds no weights in memory."""
        return self.synapse_folds * self.neuron_folds

    @property
    def cycles(self) -> int:
        """Cycles a frame: vectors * MW * MH / (PE * SIMD)."""
        return self.vectors * self.folded

    def execute(self, x: Integers) -> Integers:
        """Frames `(n, vectors * inputs)` to accumulators `(n, vectors * outputs)`."""
        product = x.reshape(len(x), self.vectors, self.inputs) @ self.weights.T
        sums: Integers = (product + (0 if self.bias is None else self.bias)).reshape(len(x), -1)
        return sums


@dataclass(frozen=True)
class Depthwise(StreamLayer):
    """Each channel by its own `taps` weights: PE channels by SIMD taps a cycle.

    `weights` (channels, taps). Takes the words of a `Window` with `depthwise` set: for each output pixel, for
    each group of PE channels, the taps; in a word of PE * SIMD lanes tap by tap, PE channels each.
    """

    name: str
    weights: Integers = field(repr=False)
    x_bits: int
    pe: int
    simd: int = 1
    vectors: int = 1
    bias: Integers | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_divides(self.name, "PE", self.pe, self.channels)
        check_divides(self.name, "SIMD", self.simd, self.taps)

    @property
    def channels(self) -> int:  # noqa: D102
        return int(self.weights.shape[0])

    @property
    def taps(self) -> int:  # noqa: D102
        return int(self.weights.shape[1])

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.pe * self.simd

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.vectors * self.channels * self.taps

    @property
    def o_elements(self) -> int:  # noqa: D102
        return self.vectors * self.channels

    def execute(self, x: Integers) -> Integers:
        """Frames as `Window` gives them to accumulators `(n, vectors * channels)`."""
        groups = self.channels // self.pe
        taken = x.reshape(len(x), self.vectors, groups, self.taps, self.pe)
        weights = self.weights.reshape(groups, self.pe, self.taps)
        given = np.einsum("nvgtp,gpt->nvgp", taken, weights).reshape(len(x), self.vectors, self.channels)
        sums: Integers = (given + (0 if self.bias is None else self.bias)).reshape(len(x), -1)
        return sums


@dataclass(frozen=True)
class Threshold(StreamLayer):
    """How many of its channel's ascending thresholds each value reaches; PE values a word.

    `thresholds` (channels, 2**bits - 1), the same for each of a frame's `vectors`. `block` asks for them in
    block RAM.
    """

    name: str
    thresholds: Integers = field(repr=False)
    pe: int
    vectors: int = 1
    block: bool = False

    def __post_init__(self) -> None:
        check_divides(self.name, "PE", self.pe, self.channels)

    @property
    def channels(self) -> int:  # noqa: D102
        return int(self.thresholds.shape[0])

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.vectors * self.channels

    @property
    def bits(self) -> int:
        """Bits of the counts."""
        return int(self.thresholds.shape[1]).bit_length()

    def execute(self, x: Integers) -> Integers:
        """Values `(n, vectors * channels)` to counts of the same shape."""
        values = x.reshape(-1, self.channels)
        counts = np.empty_like(values)
        for channel, row in enumerate(self.thresholds):
            counts[:, channel] = np.searchsorted(row, values[:, channel], side="right")
        return counts.reshape(x.shape)
