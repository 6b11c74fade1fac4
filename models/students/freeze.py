"""Freezing: batch-norm and activation quantizers of a trained student become integer thresholds.

The trained float path is evaluated at every accumulator that a channel can reach, so that the thresholds hold
what it does there, and nothing later depends on how a float kernel rounds. (FINN, arXiv:1612.07119, section
4.2.2, folds batch-norm into thresholds by formula, which leaves the rounding of float arithmetic open.)
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common import topology
from common.errors import ContractError
from common.topology import INPUT
from models.data import Split
from models.metrics import FreezeReport
from models.students.integer import (
    Add,
    Conv,
    Dense,
    Depthwise,
    IntegerLayer,
    IntegerNetwork,
    MaxPool,
    Operation,
    SumPool,
    Weighted,
    check_accumulator,
    check_power_of_two,
    reachable,
)
from models.students.student import INPUT_BITS, Student, StudentLayer, pool_scale
from models.tasks import CLASSIFICATION, Task

CHUNK_VALUES = 2**20
BATCH = 256


def freeze(student: Student, name: str = "student") -> IntegerNetwork:
    """Make the integer network of a trained student. The student is left in evaluation mode.

    Raises `ContractError`: a scale is no power of two, an accumulator can reach 2^24, or batch-norm and
    quantizer are not monotonic on the accumulators of some channel; names layer and channel.
    """
    student.eval()
    layers: list[IntegerLayer] = []
    given = {INPUT: (2**INPUT_BITS - 1, 1.0)}  # greatest value and scale of what each layer gives
    for index, layer in enumerate(student.layers):
        assert isinstance(layer, StudentLayer)
        input_max, input_scale = given[layer.step.sources[0]]
        frozen, scale = _freeze_layer(layer, input_max, input_scale)
        layers.append(frozen)
        greatest = int(reachable(frozen.operation, input_max, layer.step.in_shape)[1].max())
        if frozen.activation_bits is not None and frozen.activation_scale is not None:
            greatest, scale = 2**frozen.activation_bits - 1, frozen.activation_scale
        given[index] = greatest, scale
    return IntegerNetwork(student.topology.frame, tuple(layers), name)


def freeze_report(
    student: Student, network: IntegerNetwork, split: Split, task: Task = CLASSIFICATION
) -> FreezeReport:
    """Compare the trained student with its frozen network on every sample of `split`."""
    before = student_integers(student, network, split.x)
    after = network.intermediates(split.x)
    differing = [int(np.count_nonzero(old != new)) for old, new in zip(before, after, strict=True)]
    return FreezeReport(
        samples=len(split),
        differing_activations=sum(differing[:-1]),
        differing_logits=differing[-1],
        score_before=task.score(before[-1] * network.logit_scale, split),
        score_after=task.score(after[-1] * network.logit_scale, split),
    )


def student_integers(
    student: Student, network: IntegerNetwork, x: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], ...]:
    """Evaluate the trained student on `x` uint8 (n, inputs): each layer (n, values) over its scale.

    Values are in NHWC order, the logits last; `network` tells the scales. Integers where the numeric contract
    holds.
    """
    student.eval()
    parts: list[list[NDArray[np.float64]]] = [[] for _ in network.layers]
    with torch.no_grad():
        for start in range(0, len(x), BATCH):
            values = student.values(torch.from_numpy(x[start : start + BATCH]).float())
            for index, value in enumerate(values):
                flat = value.permute(0, 2, 3, 1).flatten(1).numpy().astype(np.float64)
                parts[index].append(flat / network.scale(index))
    return tuple(np.concatenate(part) for part in parts)


def _freeze_layer(layer: StudentLayer, input_max: int, input_scale: float) -> tuple[IntegerLayer, float]:
    """Freeze one layer; also the scale of its accumulators."""
    name = layer.step.name
    operation = _operation(layer)
    scale = input_scale
    match operation:
        case Weighted(weight_scale=factor) | SumPool(scale=factor):
            check_power_of_two(f"{name}, scale", factor)
            scale *= factor
    low, high = reachable(operation, input_max, layer.step.in_shape)
    check_accumulator(name, low, high)
    thresholds = None
    if layer.activation_bits is not None:
        below, falling = _count_below(name, layer, low, high, scale)
        if falling.any():
            # A falling channel counts from the other end: negate its weights (the narrow range has every
            # negative), and as many accumulators lie below each level as before, now starting from -high.
            if not isinstance(operation, Weighted):
                raise ContractError(f"{name}: the activation falls over its accumulators; report this")
            signs = np.where(falling, -1, 1).astype(np.int8)
            axes = (slice(None), *(None,) * (operation.weights.ndim - 1))
            operation = replace(operation, weights=operation.weights * signs[axes])
        start = np.where(falling, -high, low)
        thresholds = (start[:, None] + below).astype(np.int32)
    frozen = IntegerLayer(
        name, operation, layer.step.sources, thresholds, layer.activation_bits, layer.activation_scale
    )
    return frozen, scale


def _operation(layer: StudentLayer) -> Operation:
    """What a layer computes of its sources, in integers."""
    match layer.step.layer:
        case topology.MaxPool(size=size, stride=stride):
            return MaxPool(size, stride or size)
        case topology.AveragePool(size=size):
            size = size or layer.step.in_shape[:2]
            return SumPool(size, pool_scale(size))
        case topology.Add():
            return Add()
    linear: Any = layer.linear
    quantized = linear.quant_weight()
    scale = float(quantized.scale.detach())
    # Not the quantized tensor's own `int()`, which knows no binary weights.
    weights = np.rint(quantized.value.detach().numpy().astype(np.float64) / scale).astype(np.int8)
    match layer.step.layer:
        case topology.Dense(weight_bits=bits):
            return Dense(weights, bits, scale)
        case topology.Conv(weight_bits=bits) as spec:
            weights = np.ascontiguousarray(weights.transpose(0, 2, 3, 1))
            return Conv(weights, bits, scale, spec.stride, spec.padding)
        case topology.Depthwise(weight_bits=bits) as spec:
            return Depthwise(weights[:, 0], bits, scale, spec.stride, spec.padding)
    raise AssertionError(layer.step.layer)


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
        images = column.expand(-1, channels).contiguous()[:, :, None, None]
        activations = layer.activate(images).flatten(1)
    return np.rint(activations.numpy() / (layer.activation_scale or 1.0)).astype(np.int64)
