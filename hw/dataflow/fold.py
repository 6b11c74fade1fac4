"""How much of a layer works at a time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fold:
    """Neurons (PE) and inputs (SIMD) that a matrix-vector layer takes a cycle; of a depthwise layer channels
    and taps.
    """

    pe: int
    simd: int
