"""Random topologies with folds, of every kind of layer, small enough to be synthesized in seconds."""

import numpy as np

from common.errors import ConfigError
from common.topology import (
    AveragePool,
    Conv,
    Dense,
    Depthwise,
    Layer,
    MaxPool,
    Residual,
    Shape,
    Step,
    Topology,
)
from hw.dataflow import DataflowGraph
from hw.dataflow.fold import Fold
from hw.mapping.cost import folded_steps, synthetic_graph

MOST_CYCLES = 6000
MOST_UNFOLDED = 100
"""Weights of a layer without folds."""
MOST_BITS = 450
"""Of all products and thresholds in a cycle."""
MOST_SUMS = 2200
"""Bits of the weights of layers without folds, together."""


def divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


class Sketch:
    """Draws layers of a network, all of the same random generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def one_of(self, *choices: int) -> int:
        return int(self.rng.choice(choices))

    def bits(self) -> tuple[int, int]:
        return self.one_of(1, 2, 2, 3, 3, 4, 4, 5, 6, 8), self.one_of(1, 2, 2, 3, 3, 4, 4, 6)

    def frame(self) -> Shape:
        height, width, channels = (self.one_of(6, 8, 10, 12, 16) for _ in range(3))
        channels = self.one_of(1, 1, 2, 3)
        kind = self.rng.random()
        if kind < 0.3:
            return (1, 1, self.one_of(12, 16, 24, 36, 48, 64))
        return (height * 4, 1, channels * 2) if kind < 0.45 else (height, width, channels)

    def kernel(self, frame: Shape) -> tuple[int, int]:
        size = self.one_of(1, 2, 3, 3, 3)
        return (min(size, frame[0]), min(size, frame[1]))

    def window(self, frame: Shape) -> dict[str, tuple[int, int]]:
        kernel = self.kernel(frame)
        padding = (self.one_of(0, kernel[0] // 2), self.one_of(0, kernel[1] // 2))
        return {"kernel": kernel, "stride": (self.one_of(1, 1, 2), self.one_of(1, 1, 2)), "padding": padding}

    def conv(self, frame: Shape) -> Conv:
        weight_bits, activation_bits = self.bits()
        outputs = self.one_of(4, 6, 8, 12, 16)
        return Conv(outputs, **self.window(frame), weight_bits=weight_bits, activation_bits=activation_bits)

    def residual(self, channels: int, frame: Shape) -> Residual:
        weight_bits, bits = self.bits()
        kernel = (3 if frame[0] > 2 else 1, 3 if frame[1] > 2 else 1)
        padding = (kernel[0] // 2, kernel[1] // 2)
        inner = Conv(self.one_of(4, 8), kernel, weight_bits, self.bits()[1], padding=padding)
        outer = Conv(channels, (1, 1), weight_bits, bits)
        shortcut = Conv(channels, (1, 1), self.bits()[0], bits)
        return Residual((inner, outer), bits, shortcut)

    def block(self, frame: Shape) -> Layer:
        kind = self.rng.random()
        weight_bits, activation_bits = self.bits()
        if kind < 0.45:
            return self.conv(frame)
        if kind < 0.6:
            return Depthwise(**self.window(frame), weight_bits=weight_bits, activation_bits=activation_bits)
        if kind < 0.75:
            high, wide = self.kernel(frame)
            return MaxPool((high, wide), None if self.rng.random() < 0.6 else (1, 1))
        if kind < 0.85:
            return AveragePool(self.kernel(frame), activation_bits)
        return self.residual(frame[2], frame)

    def dense(self, classes: int) -> list[Layer]:
        hidden = [Dense(self.one_of(8, 12, 16, 24, 32), *self.bits()) for _ in range(self.one_of(0, 0, 1))]
        return [*hidden, Dense(classes, self.one_of(2, 3, 4, 6), None)]

    def topology(self) -> Topology:
        frame = self.frame()
        layers: list[Layer] = []
        shape: Shape = frame
        while shape[0] * shape[1] > 1 and len(layers) < self.one_of(1, 2, 3):
            layers.append(self.block(shape))
            shape = Topology(frame, (*layers, Dense(2, 1, None))).steps[-1].in_shape
        if shape[0] * shape[1] > 1 and self.rng.random() < 0.5:
            layers.append(AveragePool(None, self.one_of(2, 4) if self.rng.random() < 0.5 else None))
        return Topology(frame, (*layers, *self.dense(self.one_of(2, 5, 10))))

    def fold(self, step: Step) -> Fold:
        outputs = step.out_shape[2]
        inputs = step.weights // outputs
        if isinstance(step.layer, AveragePool):
            return Fold(self.one_of(*divisors(outputs)), 1)
        pairs = [Fold(pe, simd) for pe in divisors(outputs) for simd in divisors(inputs)]
        if self.rng.random() < 0.05 and outputs * inputs <= MOST_UNFOLDED:
            return pairs[-1]
        return pairs[int(self.rng.integers(len(pairs)))]

    def bits_a_cycle(self, step: Step, fold: Fold) -> int:
        products = fold.pe * fold.simd * getattr(step.layer, "weight_bits", 1) * (step.in_bits + 1) // 2
        return products + 4 * fold.pe * (getattr(step.layer, "activation_bits", None) or 0) ** 2


def dense_case(
    rng: np.random.Generator, inputs: int = 64, classes: int = 10
) -> tuple[Topology, tuple[Fold, ...]]:
    """A dense topology with folds, of which the first or the last layer has none at all, or both."""
    sketch = Sketch(rng)
    while True:
        hidden = [sketch.one_of(4, 6, 8, 12, 16) for _ in range(sketch.one_of(1, 1, 2))]
        layers = [Dense(width, sketch.one_of(1, 2, 2, 3, 4), sketch.one_of(1, 2, 2, 3)) for width in hidden]
        topology = Topology((inputs,), (*layers, Dense(classes, sketch.one_of(2, 3, 4), None)))
        steps, kind = topology.steps, sketch.one_of(0, 1, 2)
        widest = [Fold(step.out_shape[2], step.weights // step.out_shape[2]) for step in steps]
        whole = {0: {0}, 1: {len(steps) - 1}, 2: set(range(len(steps)))}[kind]
        folds = [widest[at] if at in whole else sketch.fold(step) for at, step in enumerate(steps)]
        sums = sum(steps[at].weights * getattr(steps[at].layer, "weight_bits", 1) for at in whole)
        folded = [(steps[at], fold) for at, fold in enumerate(folds) if fold != widest[at]]
        if sums <= MOST_SUMS and sum(sketch.bits_a_cycle(*each) for each in folded) <= MOST_BITS:
            return topology, tuple(folds)


def random_case(rng: np.random.Generator) -> tuple[Topology, tuple[Fold, ...], DataflowGraph]:
    """A topology, its folds, and the graph of them."""
    sketch = Sketch(rng)
    while True:
        try:
            topology = sketch.topology()
        except ConfigError:
            continue
        steps = [topology.steps[place] for place in folded_steps(topology.steps)]
        folds = tuple(map(sketch.fold, steps))
        if len(steps) == 1 or sum(map(sketch.bits_a_cycle, steps, folds)) > MOST_BITS:
            continue
        graph = synthetic_graph(topology, folds, label=rng.random() < 0.3)
        if graph.interval_bound <= MOST_CYCLES:
            return topology, folds, graph
