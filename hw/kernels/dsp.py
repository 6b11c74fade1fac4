"""Products in DSP slices: two neurons' weights side by side in one operand, the activation the other."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value
from numpy.typing import NDArray

from hw.kernels.products import Fold, Products, Schedule
from hw.kernels.streams import balanced_sum, pack, rom

OPERAND_BITS = 18
"""Of a signed operand: ECP5's MULT18X18D, and less than AMD's slices have."""


class DspPairs(Products):
    """`(w0 + w1 * 2**k) * x` holds two products, `k` bits apart; some lanes' such products are added as one.

    `k` is the most that leaves room for a weight above it; as many lanes are added together as keep each sum
    within `k` bits. A constant makes both sums positive, so that none borrows from its neighbour. Where not
    even one product fits in `k` bits, or one neuron is left over, a slice has one weight. In `core.v` the
    products are plain multiplications, which synthesis puts into slices where it is told to.
    """

    latency = 1

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        largest = int(np.abs(fold.weights).max(initial=1))
        self.weight_bits = 1 + largest.bit_length()
        product = largest * ((1 << fold.x_bits) - 1)
        self.field = OPERAND_BITS - self.weight_bits
        together = ((1 << max(0, self.field)) - 1) // (2 * product)
        self.paired = together > 0 and fold.pe > 1
        self.together = min(together, fold.simd) if self.paired else fold.simd
        groups = -(-fold.simd // self.together)
        self.lift = product * self.together
        self.offsets: NDArray[np.int64] = np.full(
            len(fold.weights), -self.lift * groups * fold.synapse_folds, np.int64
        )

    @property
    def slots(self) -> list[tuple[int, ...]]:
        """The neurons of each operand: pairs, but for one that is left over."""
        width = 2 if self.paired else 1
        return [
            tuple(range(first, min(first + width, self.fold.pe))) for first in range(0, self.fold.pe, width)
        ]

    def words(self) -> list[int]:
        """ROM words: for each step the operands of every slot and lane."""
        steps = self.fold.steps(self.fold.weights)  # (steps, PE, SIMD)
        operands = [
            sum(steps[:, neuron] << (self.field * place) for place, neuron in enumerate(slot))
            for slot in self.slots
        ]
        rows = np.stack(operands, axis=1).reshape(len(steps), -1)
        return [pack(row, OPERAND_BITS) for row in rows.tolist()]

    def sums(self, m: Module, x: Sequence[Value], at: Schedule) -> list[Value]:  # noqa: D102
        simd = self.fold.simd
        port = rom(m, "weights", self.words(), OPERAND_BITS * len(self.slots) * simd)
        m.d.comb += port.addr.eq(Mux(at.taken, at.following, at.step))
        sums: list[Value] = []
        for number, slot in enumerate(self.slots):
            products = []
            for lane, value in enumerate(x):
                operand = port.data.word_select(number * simd + lane, OPERAND_BITS).as_signed()
                product = Signal((operand * value).shape(), name=f"product_{number}_{lane}")
                with m.If(at.advance):
                    m.d.sync += product.eq(operand * value)
                products.append(product)
            sums += self._split(m, number, len(slot), products)
        return sums

    def _split(self, m: Module, number: int, neurons: int, products: Sequence[Signal]) -> list[Value]:
        """Each neuron's sum over the lanes, from products that hold all of a slot's neurons."""
        field = self.field if self.paired else (2 * self.lift).bit_length()
        parts: list[list[Value]] = [[] for _ in range(neurons)]
        lift = sum(self.lift << (field * place) for place in range(neurons))
        for first in range(0, len(products), self.together):
            group = Signal(field * neurons, name=f"group_{number}_{first}")
            m.d.comb += group.eq(balanced_sum(products[first : first + self.together]) + lift)
            for place, part in enumerate(parts):
                part.append(group.word_select(place, field))
        return [balanced_sum(part) for part in parts]
