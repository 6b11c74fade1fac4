"""Specifications of the folded kernels that multiply, and of thresholds."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from hw import dataflow
from hw.dataflow import Integers
from hw.kernels.specs.base import LayerSpec, ValueType, narrowest, pack
from hw.kernels.specs.digits import Digit, code_bits, code_words, offset, recode
from hw.kernels.specs.movement import Buffer
from hw.kernels.specs.products import PRODUCTS, DigitRows, Products

AccumulatingT = TypeVar("AccumulatingT", dataflow.MatrixVector, dataflow.Depthwise)


def bias_of(layer: dataflow.MatrixVector | dataflow.Depthwise) -> Integers:
    """The layer's bias, (outputs,); zeros where it has none."""
    return np.zeros(len(layer.weights), np.int64) if layer.bias is None else layer.bias.astype(np.int64)


def reach(weights: Integers, x_bits: int, bias: Integers) -> tuple[Integers, Integers]:
    """The least and the greatest accumulator of each output."""
    top = (1 << x_bits) - 1
    low: Integers = np.minimum(weights, 0).sum(axis=1) * top + bias
    high: Integers = np.maximum(weights, 0).sum(axis=1) * top + bias
    return low, high


class _Accumulating(LayerSpec[AccumulatingT]):
    """A kernel that adds digit rows or products up.

    With `exact` an output is the accumulator, signed where one can be negative. Without, it is unsigned and
    short of the accumulator by `offsets[channel]`, which thresholds take up at no cost.
    """

    exact: bool
    offsets: Integers

    @property
    def x(self) -> ValueType:  # type: ignore[override]
        return ValueType(self.layer.x_bits)

    @cached_property
    def value(self) -> ValueType:
        """The narrowest type that holds every output."""
        low, high = reach(self.layer.weights, self.layer.x_bits, bias_of(self.layer))
        if not self.exact:
            return ValueType(max(1, int((high - self.offsets).max()).bit_length()))
        return narrowest(int(low.min()), int(high.max()))


@dataclass(frozen=True, eq=False)
class MatrixVector(_Accumulating[dataflow.MatrixVector]):
    """A folded `dataflow.MatrixVector`.

    Attributes:
        exact: whether outputs are accumulators.
        replay: whether the kernel keeps a vector for all its neuron folds; else its words come repeatedly.
        held: an output stands in a register of its own while the next is summed, for thresholds that search
            it in place; sums are not `exact` then.
        buffered: words of input kept beside the vector in use.
    """

    layer: dataflow.MatrixVector
    exact: bool = True
    replay: bool = True
    held: bool = False
    buffered: int = 0

    @cached_property
    def products(self) -> Products:
        """What multiplies."""
        return PRODUCTS[self.layer.multiply](self.layer)

    @property
    def loaded(self) -> DigitRows | None:
        """The weights to load into single-port RAM."""
        single_port = self.layer.memory == "single-port"
        return self.products if single_port and isinstance(self.products, DigitRows) else None

    @cached_property
    def offsets(self) -> Integers:  # type: ignore[override]  # noqa: D102
        return self.products.offsets + bias_of(self.layer)

    @property
    def buffer(self) -> Buffer | None:
        """The replay buffer before the products."""
        folds, stream = self.layer.synapse_folds, self.inlets[0]
        return Buffer(stream, folds + self.buffered, folds, self.layer.neuron_folds) if self.replay else None


@dataclass(frozen=True, eq=False)
class Depthwise(_Accumulating[dataflow.Depthwise]):
    """A `dataflow.Depthwise`: a word in holds SIMD taps of PE channels, tap by tap."""

    layer: dataflow.Depthwise
    exact: bool = True

    @cached_property
    def digits(self) -> tuple[Digit, ...]:
        """The weights' digits."""
        return recode(self.layer.weights)

    @cached_property
    def offsets(self) -> Integers:  # type: ignore[override]  # noqa: D102
        sums: Integers = offset(self.digits, self.layer.x_bits).sum(axis=1) + bias_of(self.layer)
        return sums

    @property
    def groups(self) -> int:
        """Words of output a vector."""
        return self.layer.channels // self.layer.pe

    @property
    def tap_folds(self) -> int:
        """Words of input for a word of output."""
        return self.layer.taps // self.layer.simd

    @property
    def code_bits(self) -> int:
        """Bits of a weight's code."""
        return code_bits(self.digits)

    @cached_property
    def words(self) -> list[int]:
        """The weights' codes in the order of use: groups, tap folds, then SIMD by PE codes."""
        codes = code_words(self.digits).reshape(self.groups, self.layer.pe, self.tap_folds, self.layer.simd)
        steps = codes.transpose(0, 2, 3, 1).reshape(-1, self.layer.simd * self.layer.pe)
        return [pack(step.tolist(), self.code_bits) for step in steps]


@dataclass(frozen=True, eq=False)
class Threshold(LayerSpec[dataflow.Threshold]):
    """A `dataflow.Threshold` of values of a type.

    A threshold just beyond the type's range ("never") is taken too: the comparison is one bit wider.

    Attributes:
        sequential: one comparator a lane, a cycle for each bit; else a pipeline of comparators.
        held: the producer goes on while a word waits for its cycles to end: the search needs no copy of it.
    """

    layer: dataflow.Threshold
    x: ValueType
    sequential: bool = False
    held: bool = False

    @property
    def value(self) -> ValueType:
        """The type of the counts."""
        return ValueType(self.layer.bits)

    @property
    def folds(self) -> int:
        """Words a vector."""
        return self.layer.channels // self.layer.pe

    @cached_property
    def threshold(self) -> ValueType:
        """The type of the thresholds."""
        return narrowest(int(self.layer.thresholds.min()), int(self.layer.thresholds.max()))

    @cached_property
    def step(self) -> int | None:
        """The binary logarithm of the distance between thresholds, where all are that far apart."""
        distances = np.unique(np.diff(self.layer.thresholds, axis=1))
        if len(distances) != 1 or distances[0] < 1 or distances[0] & (distances[0] - 1):
            return None
        return int(distances[0]).bit_length() - 1

    @property
    def shifts(self) -> bool:
        """Whether an addition and a shift count: constant thresholds, a power of two apart."""
        return self.folds == 1 and self.step is not None

    @cached_property
    def tree(self) -> Integers:
        """Thresholds in heap order, (channels, 2**bits): node 1 is the root, 2n and 2n + 1 are n's children.

        Column 0 is unused.
        """
        channels, count = self.layer.thresholds.shape
        tree = np.zeros((channels, count + 1), np.int64)
        for node in range(1, count + 1):
            depth = node.bit_length() - 1
            span = 1 << (self.layer.bits - depth)
            tree[:, node] = self.layer.thresholds[:, (node - (1 << depth)) * span + span // 2 - 1]
        return tree
