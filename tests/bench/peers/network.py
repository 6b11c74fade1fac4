"""The benchmark's network: 64-32-32-10, 4-bit weights and activations, as trained ones are distributed.

Weights are a quantized normal distribution; thresholds are a power of two apart, as FINN, da4ml and NNgen can
all have them (add, clip, shift), around each channel's own middle.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Widths = tuple[int, ...]
Integers = NDArray[np.int64]
WIDTHS: Widths = (64, 32, 32, 10)
INPUT_BITS, ACTIVATION_BITS, WEIGHT_BITS = 8, 4, 4


@dataclass(frozen=True)
class Dense:
    """`weights @ x`, then, but for the last layer, `clip((y + bias) >> shift, 0, 15)`."""

    weights: Integers
    bias: Integers | None = None
    shift: int = 0

    @property
    def thresholds(self) -> Integers:
        """The same activation as thresholds, (channels, 15)."""
        assert self.bias is not None
        steps = np.arange(1, 1 << ACTIVATION_BITS) << self.shift
        return steps - self.bias[:, None]

    def execute(self, x: Integers) -> Integers:
        y: Integers = x @ self.weights.T
        if self.bias is None:
            return y
        return np.clip((y + self.bias) >> self.shift, 0, (1 << ACTIVATION_BITS) - 1)


Layers = tuple[Dense, ...]


def inputs(layers: Layers) -> int:
    return int(layers[0].weights.shape[1])


def products(layers: Layers) -> int:
    """Of a frame."""
    return sum(layer.weights.size for layer in layers)


def frames(count: int, inputs: int) -> Integers:
    return np.random.default_rng(2).integers(0, 256, (count, inputs))


def network(widths: Widths = WIDTHS, seed: int = 1) -> Layers:
    """The layers; activations spread over all their values."""
    rng = np.random.default_rng(seed)
    top = (1 << (WEIGHT_BITS - 1)) - 1
    layers: list[Dense] = []
    x = frames(256, widths[0])
    for number, (taken, given) in enumerate(pairwise(widths)):
        weights = np.clip(np.round(rng.normal(0, top / 3, (given, taken))), -top, top).astype(np.int64)
        layer = Dense(weights)
        if number < len(widths) - 2:
            y = x @ weights.T
            shift = int(np.log2(4 * y.std(axis=0).mean())) - ACTIVATION_BITS
            middle = (1 << (shift + ACTIVATION_BITS - 1)) + rng.integers(0, 1 << shift, given)
            layer = Dense(weights, middle - np.round(np.median(y, axis=0)).astype(np.int64), shift)
        layers.append(layer)
        x = layer.execute(x)
    return tuple(layers)


def execute(layers: Layers, x: Integers) -> Integers:
    for layer in layers:
        x = layer.execute(x)
    return x
