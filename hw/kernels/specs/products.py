"""How a matrix-vector kernel multiplies: digit rows in LUTs, tables in block RAM, or DSP slices.

Each way makes unsigned sums over the SIMD lanes that are short of the dot product by a constant, `offsets`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hw.boards.budget import SINGLE_PORT_RAM
from hw.dataflow import Integers, MatrixVector, Multiply
from hw.kernels.specs.base import pack
from hw.kernels.specs.digits import code_bits, code_words, offset, recode

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


class Products:
    """Sums over the SIMD lanes of weight times x, each lane's constant left out.

    Attributes:
        latency: cycles from a word to its sums, before any register of the kernel.
        offsets: what brings each neuron's sums over a vector to its dot product, (outputs,).
    """

    latency: ClassVar[int]
    offsets: Integers

    def __init__(self, layer: MatrixVector) -> None:
        self.layer = layer


class DigitRows(Products):
    """Rows of radix-4 digits made in LUTs; the digits are in ROM, or in single-port RAM."""

    latency = 0

    def __init__(self, layer: MatrixVector) -> None:
        super().__init__(layer)
        self.digits = recode(layer.weights)
        self.offsets = offset(self.digits, layer.x_bits).sum(axis=1)
        self.ram = RamShape(layer.folded, code_bits(self.digits) * layer.pe * layer.simd)

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
    well (distributed arithmetic, Croisier et al. 1973, with the weights in turns). A constant a weight,
    `lift`, makes entries unsigned. The `parts` of a lane's x share a table through its two ports.
    """

    latency = 1

    def __init__(self, layer: MatrixVector) -> None:
        super().__init__(layer)
        bits = layer.x_bits
        self.parts = [slice(low, min(low + PART_BITS, bits)) for low in range(0, bits, PART_BITS)]
        self.address_bits = min(PART_BITS, bits)
        top = (1 << self.address_bits) - 1
        self.lift = -np.minimum(layer.weights, 0) * top
        self.entry_bits = max(1, int(np.abs(layer.weights).max(initial=0) * top).bit_length())
        self.offsets = -self.lift.sum(axis=1) * sum(1 << part.start for part in self.parts)

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
    neighbour. Where not even one product fits, or one neuron is left over, a slice has one weight: `slots`
    are the neurons of each slice. In `core.v` the products are plain multiplications, which synthesis puts
    into slices where it is told to.
    """

    latency = 1

    def __init__(self, layer: MatrixVector) -> None:
        super().__init__(layer)
        largest = int(np.abs(layer.weights).max(initial=1))
        product, room = largest * ((1 << layer.x_bits) - 1), OPERAND_BITS - 1 - largest.bit_length()
        most = ((1 << max(0, room)) - 1) // (2 * product)
        paired = most > 0 and layer.pe > 1
        self.together = min(most, layer.simd) if paired else layer.simd
        self.lift = product * self.together
        self.field = room if paired else (2 * self.lift).bit_length()
        neurons, width = range(layer.pe), 2 if paired else 1
        self.slots = [tuple(neurons[first : first + width]) for first in neurons[::width]]
        groups = -(-layer.simd // self.together)
        self.offsets = np.full(layer.outputs, -self.lift * groups * layer.synapse_folds, np.int64)

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
