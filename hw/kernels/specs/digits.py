"""Weights as radix-4 digits, for dot products of unsigned activations with weights from a ROM.

A weight w is sum(digit[d] * 4**d) with digits of -2..2 (Booth 1951, in a redundant digit set). Digit times x
is a row of x's bits, shifted or inverted: one 4-input LUT a bit where the digit takes at most four values,
half the rows of a bit-by-bit product. Inversion leaves out the usual "+1" and sign extension:
-k*x = ~(k*x) - (2**R - 1) for rows of R bits. What is left out depends on the weights alone. It is a constant
of each neuron, `offset`, which the accumulator's start value or the thresholds take up at no cost.
"""

from dataclasses import dataclass

import numpy as np

from hw.dataflow import Integers

DIGIT_SETS = ((-1, 0, 1, 2), (-2, -1, 0, 1))
"""Four values, one for each residue modulo 4."""


@dataclass(frozen=True)
class Digit:
    """One radix-4 digit position: the values that occur there, and the value of each weight."""

    values: tuple[int, ...]
    digits: Integers

    @property
    def code_bits(self) -> int:
        """Bits of a digit's code in the weight ROM."""
        return 3 if len(self.values) > 4 else max(1, (len(self.values) - 1).bit_length())

    def codes(self) -> Integers:
        """A code for each weight: the value's index or, of five values, the bits (one, two, invert)."""
        if self.code_bits == 3:
            magnitude = np.abs(self.digits)
            bits = ((magnitude == 1), (magnitude == 2) << 1, (self.digits < 0) << 2)
            code: Integers = np.bitwise_or.reduce(bits).astype(np.int64)
            return code
        return np.searchsorted(np.array(self.values), self.digits).astype(np.int64)

    def row_bits(self, x_bits: int) -> int:
        """Bits of digit times x for an x of `x_bits`."""
        return x_bits + (max(abs(value) for value in self.values) > 1)


def recode(weights: Integers) -> tuple[Digit, ...]:
    """Weights of any shape as radix-4 digits, lowest first, in the digit sets of the fewest code bits."""
    if np.abs(weights).max(initial=0) <= 2:
        return (Digit(tuple(np.unique(weights).tolist()), weights),)
    candidates = []
    for values in DIGIT_SETS:
        low = (weights - values[0]) % 4 + values[0]
        candidates.append((Digit(values, low), *recode((weights - low) // 4)))
    return min(candidates, key=code_bits)


def offset(digits: tuple[Digit, ...], x_bits: int) -> Integers:
    """What brings the rows' sum to weight times x: `w*x == sum(rows) + offset`, a value a weight."""
    return -sum(
        (
            (digit.digits < 0).astype(np.int64) * (((1 << digit.row_bits(x_bits)) - 1) << (2 * position))
            for position, digit in enumerate(digits)
        ),
        start=np.zeros_like(digits[0].digits),
    )


def code_words(digits: tuple[Digit, ...]) -> Integers:
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
