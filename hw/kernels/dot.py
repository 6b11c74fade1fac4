"""Dot products of unsigned activations with constant-from-ROM weights, in radix-4 digits.

A weight w is written as sum(digit[d] * 4**d) with digits of -2..2 (Booth 1951, in the freedom of a redundant
digit set). Digit times x is a row of x's bits, shifted or inverted: one 4-input LUT a bit where the digit
takes at most four values, half the rows of a bit-by-bit product. Inversion leaves out the usual "+1" and sign
extension: -k*x = ~(k*x) - (2**R - 1) for rows of R bits. What is left out depends on the weights alone: it is
a constant of each neuron, `offset`, that the accumulator's start value or the thresholds take up for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Mux, Value
from numpy.typing import NDArray

from hw.kernels.streams import balanced_sum

DIGIT_SETS = ((-1, 0, 1, 2), (-2, -1, 0, 1))
"""Four values, one for each residue modulo 4."""


@dataclass(frozen=True)
class Digit:
    """One radix-4 digit position: the values that occur there, and the value of each weight."""

    values: tuple[int, ...]
    digits: NDArray[np.int64]

    @property
    def code_bits(self) -> int:
        """Bits of a digit's code in the weight ROM."""
        return 3 if len(self.values) > 4 else max(1, (len(self.values) - 1).bit_length())

    def codes(self) -> NDArray[np.int64]:
        """A code for each weight: the value's index or, of five values, the bits (one, two, invert)."""
        if self.code_bits == 3:
            magnitude = np.abs(self.digits)
            bits = ((magnitude == 1), (magnitude == 2) << 1, (self.digits < 0) << 2)
            code: NDArray[np.int64] = np.bitwise_or.reduce(bits).astype(np.int64)
            return code
        return np.searchsorted(np.array(self.values), self.digits).astype(np.int64)

    def row_bits(self, x_bits: int) -> int:
        """Bits of digit times x for an x of `x_bits`."""
        return x_bits + (max(abs(value) for value in self.values) > 1)

    def row(self, x: Value, code: Value) -> Value:
        """Digit times x as `row_bits` bits; inverted where the digit is negative."""
        width = self.row_bits(len(x))
        one, two = Cat(x, Const(0, 1))[:width], Cat(Const(0, 1), x)[:width]
        if self.code_bits == 3:
            chosen = (one & code[0].replicate(width)) | (two & code[1].replicate(width))
            return chosen ^ code[2].replicate(width)
        rows = {0: Const(0, width), 1: one, 2: two, -1: (~one)[:width], -2: (~two)[:width]}
        return _select(code, [rows[value] for value in self.values])


def _select(code: Value, rows: Sequence[Value]) -> Value:
    """`rows[code]`; a code beyond the last row never occurs."""
    if len(rows) == 1:
        return rows[0]
    half = 1 << ((len(rows) - 1).bit_length() - 1)
    bit = half.bit_length() - 1
    return Mux(code[bit], _select(code, rows[half:]), _select(code, rows[:half]))


def recode(weights: NDArray[np.int64]) -> tuple[Digit, ...]:
    """Weights of any shape as radix-4 digits, lowest first, in the digit sets of the fewest code bits."""
    if np.abs(weights).max(initial=0) <= 2:
        return (Digit(tuple(np.unique(weights).tolist()), weights),)
    candidates = []
    for values in DIGIT_SETS:
        low = (weights - values[0]) % 4 + values[0]
        candidates.append((Digit(values, low), *recode((weights - low) // 4)))
    return min(candidates, key=lambda digits: sum(digit.code_bits for digit in digits))


def offset(digits: tuple[Digit, ...], x_bits: int) -> NDArray[np.int64]:
    """What brings the rows' sum to weight times x: `w*x == sum(rows) + offset`, a value a weight."""
    return -sum(
        (
            (digit.digits < 0).astype(np.int64) * (((1 << digit.row_bits(x_bits)) - 1) << (2 * position))
            for position, digit in enumerate(digits)
        ),
        start=np.zeros_like(digits[0].digits),
    )


def dot(digits: tuple[Digit, ...], x: Sequence[Value], codes: Sequence[Value]) -> Value:
    """Unsigned sum over the lanes of the digit rows; add each weight's `offset` for the dot product.

    `x` holds an unsigned activation a lane, `codes` the lane's digit codes, lowest digit in the lowest bits.
    """
    sums = []
    for position, digit in enumerate(digits):
        at = sum(lower.code_bits for lower in digits[:position])
        rows = [
            digit.row(value, code[at : at + digit.code_bits]) for value, code in zip(x, codes, strict=True)
        ]
        sums.append(balanced_sum(rows) << (2 * position))
    return balanced_sum(sums)


def code_words(digits: tuple[Digit, ...]) -> NDArray[np.int64]:
    """The digits' codes of each weight side by side, lowest digit in the lowest bits."""
    words = np.zeros_like(digits[0].digits)
    at = 0
    for digit in digits:
        words |= digit.codes() << at
        at += digit.code_bits
    return words


def code_bits(digits: tuple[Digit, ...]) -> int:
    """Bits of one weight's code."""
    return sum(digit.code_bits for digit in digits)
