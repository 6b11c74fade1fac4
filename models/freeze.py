"""Freezing: batch-norm and activation quantizers of a trained student become integer thresholds.

The trained float path is evaluated at every accumulator that a channel can reach, so that the thresholds hold
what it does there, and nothing later depends on how a float kernel rounds. (FINN, arXiv:1612.07119, section
4.2.2, folds batch-norm into thresholds by formula, which leaves the rounding of float arithmetic open.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.data import Split
from models.integer import (
    IntegerLayer,
    IntegerNetwork,
    accumulator_range,
    check_accumulator,
    check_power_of_two,
)
from models.metrics import accuracy
from models.student import INPUT_BITS, Student, StudentLayer
from pipeline.errors import ContractError

CHUNK_VALUES = 2**20


@dataclass(frozen=True)
class FreezeReport:
    """What freezing changed on a split: the trained float student against the integer network.

    Attributes:
        samples: number of samples compared.
        differing_activations: activations (of any layer) that differ, over all samples.
        differing_logits: logits that differ, over all samples.
        accuracy_before: of the trained student, 0 to 1.
        accuracy_after: of the integer network, 0 to 1.
    """

    samples: int
    differing_activations: int
    differing_logits: int
    accuracy_before: float
    accuracy_after: float


def freeze(student: Student, name: str = "student") -> IntegerNetwork:
    """Make the integer network of a trained student. The student is left in evaluation mode.

    Raises:
        ContractError: a scale is no power of two, an accumulator can reach 2^24, or batch-norm and quantizer
            are not
            monotonic on the accumulators of some channel; names layer and channel.
    """
    student.eval()
    layers = []
    input_max, input_scale = 2**INPUT_BITS - 1, 1.0
    for index, layer in enumerate(student.layers):
        assert isinstance(layer, StudentLayer)
        frozen = _freeze_layer(f"layer{index}", layer, input_max, input_scale)
        layers.append(frozen)
        if frozen.activation_bits is not None and frozen.activation_scale is not None:
            input_max, input_scale = 2**frozen.activation_bits - 1, frozen.activation_scale
    return IntegerNetwork(tuple(layers), INPUT_BITS, name)


def freeze_report(student: Student, network: IntegerNetwork, split: Split) -> FreezeReport:
    """Compare the trained student with its frozen network on every sample of `split`."""
    before = student_integers(student, network, split.x)
    after = network.intermediates(split.x)
    differing = [int(np.count_nonzero(old != new)) for old, new in zip(before, after, strict=True)]
    return FreezeReport(
        samples=len(split),
        differing_activations=sum(differing[:-1]),
        differing_logits=differing[-1],
        accuracy_before=accuracy(before[-1], split.y),
        accuracy_after=accuracy(after[-1], split.y),
    )


def student_integers(
    student: Student, network: IntegerNetwork, x: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], ...]:
    """Evaluate the trained student on `x` uint8 (n, inputs): each layer (n, outputs) over its scale.

    The logits come last; `network` tells the scales. Integers where the numeric contract holds.
    """
    student.eval()
    scales = [layer.activation_scale or network.logit_scale for layer in network.layers]
    values = []
    with torch.no_grad():
        current = student.input(torch.from_numpy(x).float())
        for layer, scale in zip(student.layers, scales, strict=True):
            current = layer(current)
            values.append(current.numpy().astype(np.float64) / scale)
    return tuple(values)


def _freeze_layer(name: str, layer: StudentLayer, input_max: int, input_scale: float) -> IntegerLayer:
    quantized = layer.linear.quant_weight()
    weights = quantized.int().numpy().astype(np.int8)
    weight_scale = float(quantized.scale.detach())
    check_power_of_two(f"{name}, weight scale", weight_scale)
    check_accumulator(name, weights, input_max)
    bits = layer.activation_bits
    thresholds = None
    if bits is not None:
        low, high = accumulator_range(weights, input_max)
        below, falling = _count_below(name, layer, low, high, input_scale * weight_scale)
        # A falling channel counts from the other end: negate its weights (the narrow range has every
        # negative), and as many accumulators lie below each level as before, now starting from -high.
        weights = np.where(falling[:, None], -weights, weights)
        start = np.where(falling, -high, low)
        thresholds = (start[:, None] + below).astype(np.int32)
    return IntegerLayer(
        name=name,
        weights=weights,
        weight_bits=layer.weight_bits,
        weight_scale=weight_scale,
        thresholds=thresholds,
        activation_bits=bits,
        activation_scale=layer.activation_scale,
    )


def _count_below(
    name: str, layer: StudentLayer, low: NDArray[np.int64], high: NDArray[np.int64], scale: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Evaluate batch-norm and quantizer at every accumulator of `low` to `high` (outputs,), times `scale`.

    Gives, per channel, how many accumulators come out below each level (outputs, levels), and whether the
    channel falls. An accumulator count rather than a search: it is right only for monotonic channels, which
    is checked.
    """
    channels, levels = len(low), 2 ** (layer.activation_bits or 0) - 1
    histogram = np.zeros(channels * (levels + 1), dtype=np.int64)
    rises, falls = np.zeros(channels, dtype=np.bool_), np.zeros(channels, dtype=np.bool_)
    last = None
    rows = max(1, CHUNK_VALUES // channels)
    for start in range(int(low.min()), int(high.max()) + 1, rows):
        reached = np.arange(start, min(start + rows, int(high.max()) + 1))[:, None]  # (rows, 1)
        values = _activate(layer, reached * scale, channels)  # (rows, outputs)
        inside = (reached >= low) & (reached <= high)
        cells = values + np.arange(channels) * (levels + 1)
        histogram += np.bincount(cells[inside], minlength=len(histogram))
        steps = np.diff(values, axis=0, prepend=values[:1] if last is None else last)
        inside &= reached > low
        rises |= ((steps > 0) & inside).any(axis=0)
        falls |= ((steps < 0) & inside).any(axis=0)
        last = values[-1:]
    if (rises & falls).any():
        channel = int(np.argmax(rises & falls))
        raise ContractError(
            f"{name}, channel {channel}: the activation both rises and falls over its accumulators; "
            "use batch-norm and an unsigned quantizer only"
        )
    return histogram.reshape(channels, levels + 1).cumsum(axis=1)[:, :-1], falls


def _activate(
    layer: StudentLayer, accumulators: NDArray[np.floating[Any]], channels: int
) -> NDArray[np.int64]:
    """Evaluate the trained modules on accumulators (rows, 1), the same in all channels: (rows, outputs)."""
    with torch.no_grad():
        column = torch.from_numpy(accumulators.astype(np.float32))
        activations = layer.activate(column.expand(-1, channels).contiguous())
    return np.rint(activations.numpy() / (layer.activation_scale or 1.0)).astype(np.int64)
