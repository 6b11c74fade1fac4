"""The dataflow form: a frozen chain of hardware layers with integer parameters, types and folding.

Read off FINN's hardware graph by `hw/finn_reader.py`; what every backend builds from. Its `execute` in numpy
says what the layers mean.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import LoweringError

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class MatrixVector:
    """`weights @ x`: (outputs, inputs) by unsigned `x` of `x_bits`; PE neurons by SIMD inputs a cycle."""

    name: str
    weights: Integers = field(repr=False)
    x_bits: int
    pe: int
    simd: int

    def __post_init__(self) -> None:
        outputs, inputs = self.weights.shape
        if outputs % self.pe or inputs % self.simd:
            raise LoweringError(
                f"{self.name}: PE {self.pe} must divide its {outputs} outputs,"
                f" SIMD {self.simd} its {inputs} inputs"
            )

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.simd

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def synapse_folds(self) -> int:
        """SF: words of input a frame, cycles an output word."""
        return int(self.weights.shape[1]) // self.simd

    @property
    def cycles(self) -> int:
        """Cycles a frame: MW * MH / (PE * SIMD)."""
        return int(self.weights.size) // (self.pe * self.simd)

    def execute(self, x: Integers) -> Integers:
        """Frames `(n, inputs)` to accumulators `(n, outputs)`."""
        product: Integers = x @ self.weights.T
        return product


@dataclass(frozen=True)
class Threshold:
    """How many of its ascending `thresholds` (channels, 2**bits - 1) each value reaches; PE values a word."""

    name: str
    thresholds: Integers = field(repr=False)
    pe: int

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def bits(self) -> int:
        """Bits of the counts."""
        return int(self.thresholds.shape[1]).bit_length()

    @property
    def cycles(self) -> int:
        """Words a frame."""
        return int(self.thresholds.shape[0]) // self.pe

    def execute(self, x: Integers) -> Integers:
        """Values `(n, channels)` to counts of the same shape."""
        counts: Integers = (x[..., None] >= self.thresholds).sum(-1)
        return counts


@dataclass(frozen=True)
class WidthConverter:
    """The same `elements` a frame, in words of `o_lanes` in place of `i_lanes`."""

    name: str
    elements: int
    i_lanes: int
    o_lanes: int

    @property
    def cycles(self) -> int:
        """Words a frame on the narrower side."""
        return self.elements // min(self.i_lanes, self.o_lanes)

    def execute(self, x: Integers) -> Integers:
        """The frames as they are."""
        return x


@dataclass(frozen=True)
class Fifo:
    """Room for `depth` words of `i_lanes` elements between two layers."""

    name: str
    elements: int
    i_lanes: int
    depth: int

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.i_lanes

    @property
    def cycles(self) -> int:
        """Words a frame."""
        return self.elements // self.i_lanes

    def execute(self, x: Integers) -> Integers:
        """The frames as they are."""
        return x


@dataclass(frozen=True)
class ArgMax:
    """The index of the greatest of `channels` values, the first of equals; PE values a word."""

    name: str
    channels: int
    pe: int

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.pe

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return 1

    @property
    def cycles(self) -> int:
        """Words a frame."""
        return self.channels // self.pe

    def execute(self, x: Integers) -> Integers:
        """Values `(n, channels)` to labels `(n, 1)`."""
        labels: Integers = x.argmax(axis=1, keepdims=True)
        return labels


Layer = MatrixVector | Threshold | WidthConverter | Fifo | ArgMax


@dataclass(frozen=True)
class DataflowGraph:
    """A chain of layers from a frame of `inputs` unsigned values of `input_bits` to logits or a label."""

    inputs: int
    input_bits: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        for before, after in pairwise(self.layers):
            if before.o_lanes != after.i_lanes:
                raise LoweringError(
                    f"{after.name}: takes words of {after.i_lanes} lanes,"
                    f" {before.name} gives {before.o_lanes}"
                )

    @property
    def interval_bound(self) -> int:
        """Cycles between frames at the best: those of the slowest layer or stream."""
        return max(layer.cycles for layer in self.layers)

    def values(self, x: Integers) -> list[Integers]:
        """What every layer gives for frames `(n, inputs)`, in order."""
        given = []
        value: Integers = x.reshape(len(x), -1).astype(np.int64)
        for layer in self.layers:
            value = layer.execute(value)
            given.append(value)
        return given

    def execute(self, x: Integers) -> Integers:
        """Logits `(n, classes)` or labels `(n, 1)` of frames `(n, inputs)`."""
        return self.values(x)[-1]
