"""Random dense networks for the hardware tests, their frames, and dataflow graphs of them without FINN."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import ArgMax, DataflowGraph, Layer, MatrixVector, Threshold, connect
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from models.export import qonnx_model, save_model
from models.students.integer import Dense, IntegerLayer, IntegerNetwork


def random_network(
    widths: Sequence[int], *, weight_bits: int = 4, activation_bits: int = 3, seed: int = 0
) -> IntegerNetwork:
    """Dense layers from `widths[0]` inputs to `widths[-1]` classes.

    Thresholds are accumulators that occur, so that all activations do; one channel is always 0 and one
    always at its greatest.
    """
    rng = np.random.default_rng(seed)
    top, steps = 2 ** (weight_bits - 1) - 1, 2**activation_bits - 1
    x = random_frames(256, widths[0], seed).astype(np.int64)
    layers = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        weights = rng.integers(-top, top + 1, (outputs, inputs)).astype(np.int8)
        weights[0, 0], weights[-1, -1] = top, -top
        thresholds = None
        if index < len(widths) - 2:
            accumulators = x @ weights.astype(np.int64).T
            thresholds = np.sort(rng.choice(accumulators, steps, replace=False).T, axis=1).astype(np.int32)
            if outputs > 2:
                thresholds[0], thresholds[1] = accumulators.max() + 1, accumulators.min()
            x = (accumulators[..., None] >= thresholds).sum(-1)
        hidden = thresholds is not None
        layers.append(
            IntegerLayer(
                f"layer{index}",
                Dense(weights, weight_bits, 2.0 ** -int(rng.integers(0, 8))),
                (index - 1,),
                thresholds,
                activation_bits if hidden else None,
                2.0 ** -int(rng.integers(0, 5)) if hidden else None,
            )
        )
    return IntegerNetwork((1, 1, widths[0]), tuple(layers))


def matrices(network: IntegerNetwork) -> list[NDArray[np.int64]]:
    """The weights (outputs, inputs) of every layer."""
    return [
        layer.operation.matrix.astype(np.int64)
        for layer in network.layers
        if isinstance(layer.operation, Dense)
    ]


def random_frames(count: int, inputs: int, seed: int = 0) -> NDArray[np.uint8]:
    """Frames of any brightness, the first all 0, the second all 255."""
    rng = np.random.default_rng(seed + 1)
    frames = rng.integers(0, 256, (count, inputs)) * rng.random((count, 1)) ** 2
    frames[: min(2, count)] = [[0], [255]][: min(2, count)]
    return frames.astype(np.uint8)


def random_folds(network: IntegerNetwork, rng: np.random.Generator) -> tuple[Fold, ...]:
    """A divisor of each layer's outputs and of its inputs."""
    return tuple(
        Fold(int(rng.choice(divisors(outputs))), int(rng.choice(divisors(inputs))))
        for outputs, inputs in (matrix.shape for matrix in matrices(network))
    )


def divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def graph_of(network: IntegerNetwork, folds: Sequence[Fold], *, label: bool = False) -> DataflowGraph:
    """The graph that lowering should give."""
    layers: list[Layer] = []
    bits = network.input_bits
    for index, (layer, weights, fold) in enumerate(
        zip(network.layers, matrices(network), folds, strict=True)
    ):
        layers.append(MatrixVector(f"mv{index}", weights, bits, fold.pe, fold.simd))
        if layer.thresholds is not None and layer.activation_bits is not None:
            layers.append(Threshold(f"threshold{index}", layer.thresholds.astype(np.int64), fold.pe))
            bits = layer.activation_bits
    if label:
        layers.append(ArgMax("argmax", network.outputs, folds[-1].pe))
    return connect((network.inputs,), network.input_bits, layers)


def save_qonnx(network: IntegerNetwork, folder: Path) -> Path:
    path = folder / "student.qonnx.onnx"
    save_model(qonnx_model(network), path)
    return path


def lowered(
    network: IntegerNetwork, folder: Path, folding: Folding | Sequence[Fold], *, label: bool = False
) -> Any:
    """FINN's hardware graph of the network."""
    chosen = folding if isinstance(folding, Folding) else Folding(folds=tuple(folding))
    return lower(save_qonnx(network, folder), folding=chosen, label=label, log=folder / "finn.log")
