"""From a QONNX network of floats to a network of integers that computes the same."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.imported.layers import LAYERS
from hw.imported.layout import ByteValues, Layout, leading
from hw.imported.nodes import called
from hw.imported.origin import note_made
from hw.imported.reading import Reading
from hw.imported.steps import MAKERS
from hw.imported.tensor import SAME, Tensor
from hw.interface import Affine

INVARIANT = ("Softmax", "LogSoftmax", "Sigmoid")
"""Ends of a classifier that leave its class as it is; hardware gives the logits before them."""


@dataclass(frozen=True, eq=False)
class Integral:
    """A network of integers that computes what an imported one computes.

    Attributes:
        model: a qonnx `ModelWrapper` from bytes `x` to integers `logits`.
        layout: how its frames are those of the network.
        meaning: the floats that the integers stand for.
        error: by how much a logit is off, in steps of them: its bias in whole steps. 0 where all is exact.
        outputs: how many logits there are.
        end: the operator behind the logits that is left out, a softmax or the like; or nothing.
    """

    model: Any
    layout: Layout
    meaning: Affine
    error: float
    outputs: int
    end: str


def integral(model: Any, values: ByteValues) -> Integral:
    """The integers of a tidied QONNX network (`hw.finn.lowering.load`) whose input are bytes.

    Raises `LoweringError`: hardware has no layer for a node, or its values are not quantized; names the node.
    """
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise LoweringError("a network to lower has one input and one output")
    layout, moved = leading(model, tuple(MAKERS))
    reading = Reading(model, layout)
    reading.tensors[model.graph.input[0].name] = _input(reading, values)
    name, end = logits_of(model)
    nodes = _behind(model, name)
    _check_operators(nodes)
    for node in nodes:
        _read(reading, node, moved)
    return _end(reading, name, end)


def logits_of(model: Any) -> tuple[str, str]:
    """The tensor of a network's logits, and the operator behind it that hardware leaves out, or nothing."""
    name = model.graph.output[0].name
    last = model.find_producer(name)
    if last is None or last.op_type not in INVARIANT:
        return name, ""
    return last.input[0], last.op_type


def _input(reading: Reading, values: ByteValues) -> Tensor:
    layout = reading.layout
    scale, offset = (layout.arranged(each[None])[0] for each in values.spread(layout.shape))
    columns = [each.reshape(len(each), -1) for each in (scale, offset)]
    if any(np.ptp(each, axis=1).any() for each in columns):
        raise LoweringError(
            "student.scale, student.offset: differ within a channel of the first layer; give one"
        )
    zeros = np.zeros(len(scale), np.int64)
    name = reading.writer.input(scale.shape)
    return Tensor(name, scale.shape, zeros, zeros + 255, columns[0][:, 0], columns[1][:, 0])


def _behind(model: Any, name: str) -> list[Any]:
    """The nodes that a tensor depends on, in the graph's order."""
    wanted, found = {name}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            found.append(node)
    return found[::-1]


def _check_operators(nodes: list[Any]) -> None:
    known = {*LAYERS, *MAKERS, "Constant"}
    strange = ", ".join(called(node) for node in nodes if node.op_type not in known)
    if strange:
        raise LoweringError(f"{strange}: Retort's hardware has no layer for it")


def _read(reading: Reading, node: Any, moved: set[str]) -> None:
    if reading.constants.take(node):
        return
    (result,) = node.output[:1]
    with reading.writer.standing_for(result):
        if node.name in moved:
            given = reading.tensors[node.input[0]]
        elif node.op_type in LAYERS:
            given = LAYERS[node.op_type](reading, node)
        else:
            given = reading.elementwise(node)
    reading.tensors[result] = given


def _end(reading: Reading, name: str, end: str) -> Integral:
    """Integers behind the last sums, in equal steps for all classes; last activations count from 0."""
    if name not in reading.tensors or (producer := reading.model.find_producer(name)) is None:
        raise LoweringError(f"its output '{name}' does not depend on its input; export the whole network")
    real, last, tensor = reading.shape(name), called(producer), reading.tensors[name]
    if tensor.channels == 1 and end in ("Softmax", "LogSoftmax"):
        raise LoweringError(f"it ends in a {end} of one output, which never changes; export its logit")
    if int(np.prod(real)) != tensor.channels or tensor.channels != int(np.prod(tensor.shape)):
        raise LoweringError(f"{last}: gives {real}; a classifier gives (1, classes)")
    tensor = reading.thresholded(tensor)
    if (counted := reading.writer.count_from_zero(tensor.name)) is not None:
        step, first = counted
        high, start = (tensor.high - first) // step, tensor.offset + tensor.scale * first
        tensor = replace(tensor, low=tensor.low * 0, high=high, scale=tensor.scale * step, offset=start)
    tensor = _of_one_scale(reading, tensor.affine(), last)
    if len(tensor.shape) == 3:
        tensor = replace(tensor, name=reading.writer.channels_last(tensor.name))
    scale, offset, error = float(tensor.scale[0]), float(tensor.offset[0]), 0.0
    if np.ptp(tensor.offset) > SAME * scale:
        steps = np.rint(tensor.offset / scale)
        offset, error = 0.0, float(np.abs(tensor.offset / scale - steps).max())
        tensor = replace(tensor, name=reading.writer.add(tensor.name, steps.astype(np.int64)))
    model = reading.writer.model(tensor.name)
    note_made(model, reading.writer.sources, reading.model)
    return Integral(model, reading.layout, Affine(scale, offset), error, tensor.channels, end)


def _of_one_scale(reading: Reading, tensor: Tensor, node: str) -> Tensor:
    least = np.abs(tensor.scale).min()
    if not least > 0:
        raise LoweringError(f"{node}: an output that is always the same; train and export it again")
    factors = np.rint(tensor.scale / least)
    if (np.abs(tensor.scale / least - factors) > SAME * np.abs(factors)).any():
        raise LoweringError(
            f"{node}: its outputs have scales of their own; quantize its weights with one scale"
        )
    if (factors == 1).all():
        return tensor
    return reading.multiplied(tensor, factors.astype(np.int64), node)
