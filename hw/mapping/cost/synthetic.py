"""A topology's dataflow graph without a trained network: random weights and thresholds like those of one."""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, prod, sqrt

import numpy as np

from common import topology
from common.topology import Step, Topology
from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    GlobalSum,
    Integers,
    Layer,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    Window,
    connect,
)
from hw.dataflow.fold import Fold

SEED = 1
DEVIATIONS = 2.5
"""Standard deviations of the weights, before they are rounded, from 0 to the power of two above the greatest.

Trained students are like that: their scale is the power of two above the largest weight. More than half of
their weights of 2 bits are not 0."""


def folded_steps(steps: Sequence[Step]) -> list[int]:
    """The indices of the steps with a fold of their own: FINN makes a depthwise layer of an average pool."""
    folded = (topology.Dense, topology.Conv, topology.Depthwise, topology.AveragePool)
    return [place for place, step in enumerate(steps) if isinstance(step.layer, folded)]


def synthetic_graph(network: Topology, folds: Sequence[Fold], *, label: bool = False) -> DataflowGraph:
    """The graph that a student of this topology would have.

    `folds` has one entry for each step of `folded_steps`, in their order; with `label` the graph ends in an
    arg-max. Raises `LoweringError` where a fold does not divide its layer; names the layer.
    """
    builder = _Builder(network.frame)
    steps = network.steps
    fold_of = dict(zip(folded_steps(steps), folds, strict=True))
    for place, step in enumerate(steps):
        builder.put(place, step, fold_of.get(place))
    if label:
        builder.add(ArgMax("argmax", network.outputs, builder.lanes[len(steps) - 1]), len(builder.layers) - 1)
    flat = all(isinstance(step.layer, topology.Dense) for step in steps)
    shape = (network.inputs,) if flat else network.frame
    return connect(shape, steps[0].in_bits, builder.layers, builder.sources)


def chain_graph(steps: Sequence[Step], fold: Fold) -> DataflowGraph:
    """The first of some steps, each the only one that takes from the one before, with its fold."""
    builder = _Builder(steps[0].in_shape)
    for place, step in enumerate(steps):
        builder.source[place - 1] = len(builder.layers) - 1
        builder.put(place, step, fold if place == 0 else None, (place - 1,))
    flat = isinstance(steps[0].layer, topology.Dense)
    shape = (steps[0].inputs,) if flat else steps[0].in_shape
    return connect(shape, steps[0].in_bits, builder.layers, builder.sources)


class _Builder:
    """Layers put one after the other, and what every step gives: its place among them, its lanes."""

    def __init__(self, frame: topology.Shape) -> None:
        self.layers: list[Layer] = []
        self.sources: list[tuple[int, ...]] = []
        self.source: dict[int, int] = {INPUT: INPUT}
        self.lanes: dict[int, int] = {INPUT: 1}
        self.frame = frame

    def add(self, layer: Layer, *sources: int) -> int:
        """Put a layer in; its place."""
        self.layers.append(layer)
        self.sources.append(sources)
        return len(self.layers) - 1

    def put(self, place: int, step: Step, fold: Fold | None, sources: tuple[int, ...] | None = None) -> None:
        """Put in the layers of a step, which takes from steps `sources`."""
        taken = step.sources if sources is None else sources
        before = self.source[taken[0]]
        lanes = gcd(self.lanes.get(taken[0], 1), step.out_shape[2])
        match step.layer:
            case topology.Dense() | topology.Conv():
                assert fold is not None
                end, lanes = self._matrix_vector(step, fold, before), fold.pe
            case topology.Depthwise() | topology.AveragePool():
                assert fold is not None
                end, lanes = self._depthwise(step, fold, before), fold.pe
            case topology.MaxPool():
                end = self._max_pool(step, step.layer, lanes, before)
            case topology.Add():
                others = [self.source[source] for source in taken]
                values = step.pixels * step.out_shape[2]
                end = self.add(Add(step.name, values, lanes), *others)
        self.source[place], self.lanes[place] = self._activated(step, lanes, end), lanes

    def _activated(self, step: Step, lanes: int, end: int) -> int:
        """The step's thresholds, where it has any."""
        if isinstance(step.layer, topology.MaxPool) or step.layer.activation_bits is None:
            return end
        before, channels = self.layers[end], step.out_shape[2]
        levels = (1 << step.layer.activation_bits) - 1
        if isinstance(before, MatrixVector | Depthwise) and step.weights:
            thresholds = _thresholds(channels, levels, _reach(before, step.in_bits))
        else:  # sums of activations, of which all channels keep the same upper bits
            thresholds = np.broadcast_to(np.arange(1, levels + 1) * _distance(step), (channels, levels))
        return self.add(Threshold(f"{step.name}.threshold", thresholds, lanes, step.pixels), end)

    def _window(self, step: Step, depthwise: bool, before: int) -> int:
        """The step's sliding window; none for a kernel of one pixel that moves by one."""
        layer = step.layer
        assert isinstance(layer, topology.Conv | topology.Depthwise)
        if layer.kernel == layer.stride == (1, 1) and layer.padding == (0, 0) and not depthwise:
            return before
        padding = (*layer.padding, *layer.padding)
        window = Window(
            f"{step.name}.window", step.in_shape, layer.kernel, 1, layer.stride, padding, depthwise=depthwise
        )
        return self.add(window, before)

    def _matrix_vector(self, step: Step, fold: Fold, before: int) -> int:
        layer, inputs = step.layer, step.weights // step.out_shape[2]
        assert isinstance(layer, topology.Dense | topology.Conv)
        if isinstance(layer, topology.Conv):
            before = self._window(step, False, before)
        weights = _weights(layer.outputs, inputs, layer.weight_bits, step.weight_sum)
        matrix = MatrixVector(step.name, weights, step.in_bits, fold.pe, fold.simd, step.pixels)
        return self.add(matrix, before)

    def _depthwise(self, step: Step, fold: Fold, before: int) -> int:
        layer, channels = step.layer, step.in_shape[2]
        if isinstance(layer, topology.Depthwise):
            before = self._window(step, True, before)
            weights = _weights(channels, prod(layer.kernel), layer.weight_bits, step.weight_sum)
            return self.add(
                Depthwise(step.name, weights, step.in_bits, fold.pe, fold.simd, step.pixels), before
            )
        assert isinstance(layer, topology.AveragePool)
        size, image = layer.size or step.in_shape[:2], step.in_shape[:2]
        if size == image:
            return self.add(GlobalSum(step.name, prod(image), channels, step.in_bits, fold.pe), before)
        window = Window(f"{step.name}.window", step.in_shape, size, 1, size, depthwise=True)
        before = self.add(window, before)
        ones = np.ones((channels, prod(size)), np.int64)
        return self.add(Depthwise(step.name, ones, step.in_bits, fold.pe, fold.simd, step.pixels), before)

    def _max_pool(self, step: Step, layer: topology.MaxPool, lanes: int, before: int) -> int:
        stride = layer.stride or layer.size
        if stride == layer.size:
            return self.add(MaxPool(step.name, step.in_shape, layer.size, lanes), before)
        window = Window(f"{step.name}.window", step.in_shape, layer.size, 1, stride, depthwise=True)
        before = self.add(window, before)
        return self.add(Reduce(step.name, step.out_shape[2], prod(layer.size), step.pixels, lanes), before)


@lru_cache(maxsize=4096)
def _weights(outputs: int, inputs: int, bits: int, most: int | None = None) -> Integers:
    """Binary ones are -1 and 1, others normally distributed in their narrow range, its ends included.

    Where an accumulator bounds the sum of an output's weights of either sign, they shrink to `most`.
    """
    rng = np.random.default_rng([SEED, outputs, inputs, bits])
    if bits == 1:
        weights = rng.choice(np.array([-1, 1]), (outputs, inputs))
    else:
        top = (1 << (bits - 1)) - 1
        weights = np.rint(rng.normal(0, (top + 1) / DEVIATIONS, (outputs, inputs))).clip(-top, top)
        weights.flat[:2] = [top, -top][: weights.size]
        if most is not None:
            sides = (
                side * np.minimum(1, most / np.maximum(1, np.abs(side).sum(axis=1, keepdims=True)))
                for side in (weights.clip(min=0), weights.clip(max=0))
            )
            weights = np.trunc(sum(sides))
    weights = weights.astype(np.int64)
    weights.setflags(write=False)
    return weights


def _distance(step: Step) -> int:
    """Between thresholds of an average pool: pixels, up to a power of two; of an addition 1."""
    if not isinstance(step.layer, topology.AveragePool):
        return 1
    pixels = prod(step.layer.size or step.in_shape[:2])
    return 1 << max(0, (pixels - 1).bit_length() + step.in_bits - (step.layer.activation_bits or 0))


def _reach(before: MatrixVector | Depthwise, x_bits: int) -> int:
    """Two standard deviations of a sum of products of independent weights and activations."""
    greatest = int(np.abs(before.weights).max()) / DEVIATIONS
    return round(sqrt(before.weights.shape[1]) * max(1.0, greatest) * ((1 << x_bits) - 1))


@lru_cache(maxsize=4096)
def _thresholds(channels: int, count: int, reach: int) -> Integers:
    """Thresholds of each channel from minus to plus `reach`."""
    rng = np.random.default_rng([SEED, channels, count])
    thresholds: Integers = np.sort(rng.integers(-reach, reach + 1, (channels, count)), axis=1)
    thresholds.setflags(write=False)
    return thresholds
