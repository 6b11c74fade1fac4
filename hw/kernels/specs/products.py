"""How a matrix-vector kernel multiplies: digit rows in LUTs, tables in block RAM, or DSP slices.

Each way makes unsigned sums over the SIMD lanes that are short of the dot product by a constant, `offsets`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hw.boards.budget import SINGLE_PORT_RAM
from hw.dataflow import Integers, MatrixVector, Multiply
from hw.kernels.specs.base import pack
from hw.kernels.specs.digits import Digit, code_bits, code_words, offset, recode

PART_BITS = 4
"""Bits of x that address a table at a time: a weight has two to this power entries."""
OPERAND_BITS = 18
"""Of a DSP slice's signed operand: ECP5's MULT18X18D, and less than AMD's slices have."""


def in_steps(layer: MatrixVector, values: Integers) -> Integers:
    """A value a weight as (steps, PE, SIMD), in the order of use: neuron folds, then synapse folds."""
    folded = values.reshape(layer.neuron_folds, layer.pe, layer.synapse_folds, layer.simd)
    return folded.transpose(0, 2, 1, 3).reshape(-1, layer.pe, layer.simd)


@dataclass(frozen=True)
class RamShape:
    """A RAM of `depth` words of `width` bits, of single-port RAMs in columns of bits and rows of words."""

    depth: int
    width: int

    @property
    def columns(self) -> int:
        """Columns of 16 bits that are written apart."""
        return -(-self.width // SINGLE_PORT_RAM.width)

    @property
    def rows(self) -> tuple[int, ...]:
        """Words of each row."""
        starts = range(0, self.depth, SINGLE_PORT_RAM.depth)
        return tuple(min(SINGLE_PORT_RAM.depth, self.depth - start) for start in starts)

    @property
    def rams(self) -> int:
        """The chip's RAMs that it takes."""
        return self.columns * len(self.rows)

    def contents(self, words: list[int]) -> NDArray[np.uint16]:
        """Words as what has to be loaded, (columns, depth)."""
        bits = SINGLE_PORT_RAM.width
        columns = [
            [word >> (bits * column) & (1 << bits) - 1 for word in words] for column in range(self.columns)
        ]
        return np.array(columns, np.uint16)


@dataclass(frozen=True, eq=False)
class Products(ABC):
    """Sums over the SIMD lanes of weight times x, each lane's constant left out.

    `latency` counts the cycles from a word to its sums, before any register of the kernel.
    """

    layer: MatrixVector
    latency: ClassVar[int]

    @property
    @abstractmethod
    def offsets(self) -> Integers:
        """What brings each neuron's sums over a vector to its dot product, (outputs,)."""


class DigitRows(Products):
    """Rows of radix-4 digits made in LUTs; the digits are in ROM, or in single-port RAM."""

    latency = 0

    @cached_property
    def digits(self) -> tuple[Digit, ...]:
        """The weights' digits."""
        return recode(self.layer.weights)

    @cached_property
    def offsets(self) -> Integers:  # noqa: D102
        sums: Integers = offset(self.digits, self.layer.x_bits).sum(axis=1)
        return sums

    @property
    def ram(self) -> RamShape:
        """The shape of a RAM for the words."""
        return RamShape(self.layer.folded, code_bits(self.digits) * self.layer.pe * self.layer.simd)

    @property
    def contents(self) -> NDArray[np.uint16]:
        """What has to be loaded into single-port RAM, (columns, depth)."""
        return self.ram.contents(self.words())

    def words(self) -> list[int]:
        """ROM words: the codes of PE by SIMD weights a step."""
        codes = in_steps(self.layer, code_words(self.digits))
        return [pack(step.reshape(-1).tolist(), code_bits(self.digits)) for step in codes]


class Tables(Products):
    """Products looked up in block RAM: the address is the step and at most four bits of x.

    A block RAM that holds weights alone is mostly empty; with 16 products for each weight it multiplies as
    well (distributed arithmetic, Croisier et al. 1973, with the weights in turns). A constant a weight makes
    entries unsigned. The parts of a lane's x share a table through its two ports.
    """

    latency = 1

    @property
    def parts(self) -> list[slice]:
        """The bits of x that are looked up together."""
        bits = self.layer.x_bits
        return [slice(low, min(low + PART_BITS, bits)) for low in range(0, bits, PART_BITS)]

    @property
    def address_bits(self) -> int:
        """Bits of the greatest part."""
        return min(PART_BITS, self.layer.x_bits)

    @property
    def lift(self) -> Integers:
        """What makes each weight's entries unsigned, (outputs, inputs)."""
        return -np.minimum(self.layer.weights, 0) * ((1 << self.address_bits) - 1)

    @cached_property
    def entry_bits(self) -> int:
        """Bits of an entry."""
        top = (1 << self.address_bits) - 1
        return max(1, int(np.abs(self.layer.weights).max(initial=0) * top).bit_length())

    @cached_property
    def offsets(self) -> Integers:  # noqa: D102
        sums: Integers = -self.lift.sum(axis=1) * sum(1 << part.start for part in self.parts)
        return sums

    def words(self, lane: int) -> list[int]:
        """A lane's table: for each step the PE products of every value of a part."""
        weights = in_steps(self.layer, self.layer.weights)[:, :, lane]
        lift = in_steps(self.layer, self.lift)[:, :, lane]
        values = np.arange(1 << self.address_bits)
        entries = weights[:, None, :] * values[:, None] + lift[:, None, :]  # (steps, values, PE)
        return [pack(row, self.entry_bits) for row in entries.reshape(-1, self.layer.pe).tolist()]


class DspPairs(Products):
    """`(w0 + w1 * 2**field) * x` holds two products, `field` bits apart, in one DSP slice.

    `field` is the most that leaves room for a weight above it. As many lanes are added `together` as keep
    each sum within `field` bits. A constant, `lift`, makes both sums positive, so that none borrows from its
    neighbour. Where not even one product fits, or one neuron is left over, a slice has one weight. In
    `core.v` the products are plain multiplications, which synthesis puts into slices where it is told to.
    """

    latency = 1

    @cached_property
    def _largest(self) -> int:
        return int(np.abs(self.layer.weights).max(initial=1))

    @property
    def _product(self) -> int:
        return self._largest * ((1 << self.layer.x_bits) - 1)

    @property
    def _room(self) -> int:
        """Bits of the operand below the upper weight."""
        return OPERAND_BITS - 1 - self._largest.bit_length()

    @property
    def _most(self) -> int:
        """Products whose sum fits below the upper weight."""
        return ((1 << max(0, self._room)) - 1) // (2 * self._product)

    @property
    def paired(self) -> bool:
        """Whether slices have two neurons."""
        return self._most > 0 and self.layer.pe > 1

    @property
    def together(self) -> int:
        """Lanes that are added before they are split by neuron."""
        return min(self._most, self.layer.simd) if self.paired else self.layer.simd

    @property
    def lift(self) -> int:
        """What makes a sum of `together` products positive."""
        return self._product * self.together

    @property
    def field(self) -> int:
        """Bits of a neuron's sum of `together` products."""
        return self._room if self.paired else (2 * self.lift).bit_length()

    @property
    def offsets(self) -> Integers:  # noqa: D102
        groups = -(-self.layer.simd // self.together)
        return np.full(self.layer.outputs, -self.lift * groups * self.layer.synapse_folds, np.int64)

    @property
    def slots(self) -> list[tuple[int, ...]]:
        """The neurons of each operand: pairs, but for one that is left over."""
        width = 2 if self.paired else 1
        return [
            tuple(range(first, min(first + width, self.layer.pe))) for first in range(0, self.layer.pe, width)
        ]

    def words(self) -> list[int]:
        """ROM words: for each step the operands of every slot and lane."""
        steps = in_steps(self.layer, self.layer.weights)
        operands = [
            sum(steps[:, neuron] << (self.field * place) for place, neuron in enumerate(slot))
            for slot in self.slots
        ]
        rows = np.stack(operands, axis=1).reshape(len(steps), -1)
        return [pack(row, OPERAND_BITS) for row in rows.tolist()]


PRODUCTS: Mapping[Multiply, Callable[[MatrixVector], Products]] = {
    "lut": DigitRows,
    "table": Tables,
    "dsp": DspPairs,
}
