"""Networks made elsewhere: any QONNX classifier, of float inputs, made one of bytes.

What a trained QONNX network takes are floats, pictures with channels first. Retort's hardware takes bytes,
channels last; `Bytes` says what float a byte stands for. Scaling becomes part of the network, and FINN's
streamlining moves it into the first thresholds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.lowering.layers import scalar_end
from hw.lowering.tidying import tidy
from pipeline.errors import LoweringError

INVARIANT = ("Softmax", "LogSoftmax", "Sigmoid")
"""Ends of a classifier that leave its class as it is; hardware gives the logits before them."""

_ELEMENTWISE = ("Mul", "Add", "Sub", "Div", "Quant", "BipolarQuant", "Identity", "Dropout")


@dataclass(frozen=True)
class Bytes:
    """What float a byte of the input stands for: `scale * byte + offset`, for all or for each channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0


def take_in(model: Any, given: Bytes) -> Any:
    """The network with bytes for floats, channels last for first, and without a last softmax.

    A network whose first layer is dense takes its input flat, in the order in which it flattens.
    """
    from qonnx.transformation.infer_shapes import InferShapes

    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise LoweringError("a network to lower has one input and one output")
    _cut_end(model)
    model = tidy(model)
    shape = list(model.get_tensor_shape(model.graph.input[0].name))
    if len(shape) not in (2, 4) or shape[0] != 1:
        raise LoweringError(
            f"its input is {shape}; export it for one frame: (1, features), (1, C, L) or (1, C, H, W)"
        )
    if len(shape) == 4 and _flattens(model):
        shape = [1, int(np.prod(shape))]
    _put_before(model, shape, given)
    del model.graph.value_info[:]  # shapes from before
    return model.transform(InferShapes())


def _cut_end(model: Any) -> None:
    last = model.find_producer(model.graph.output[0].name)
    if last.op_type in INVARIANT:
        model.graph.node.remove(last)
        model.graph.output[0].name = last.input[0]
        kept = [each for each in model.graph.value_info if each.name != last.input[0]]
        del model.graph.value_info[:]
        model.graph.value_info.extend(kept)


def _flattens(model: Any) -> bool:
    """Whether the picture is made flat before any layer takes it; the node that does goes."""
    name = model.graph.input[0].name
    nodes = model.find_consumers(name) or []
    while len(nodes) == 1 and nodes[0].op_type in _ELEMENTWISE:
        nodes = model.find_consumers(nodes[0].output[0]) or []
    if len(nodes) != 1 or nodes[0].op_type not in ("Reshape", "Flatten"):
        return False
    flat = nodes[0]
    if len(model.get_tensor_shape(flat.output[0])) != 2:
        return False
    for node in model.find_consumers(flat.output[0]) or []:
        node.input[:] = [flat.input[0] if each == flat.output[0] else each for each in node.input]
    model.graph.node.remove(flat)
    return True


def _put_before(model: Any, shape: list[int], given: Bytes) -> None:
    """A new input of bytes, and nodes that make of it what the network takes."""
    from onnx import TensorProto, helper

    graph, old = model.graph, model.graph.input[0].name
    picture = len(shape) == 4
    first, nodes = "bytes", []
    steps: list[tuple[str, str | None]] = [("Transpose", None)] if picture else []
    for operator, values in (("Mul", given.scale), ("Add", given.offset)):
        row = np.atleast_1d(np.asarray(values, np.float32))
        if (row == (1.0 if operator == "Mul" else 0.0)).all():
            continue
        constant = f"bytes_{operator.lower()}"
        model.set_initializer(constant, row.reshape(1, -1, 1, 1) if picture and row.size > 1 else row)
        steps.append((operator, constant))
    if not steps:
        return
    current = first
    for index, (operator, operand) in enumerate(steps):
        result = old if index == len(steps) - 1 else f"bytes_{index}"
        attributes = {"perm": [0, 3, 1, 2]} if operator == "Transpose" else {}
        inputs = [current] if operand is None else [current, operand]
        nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        current = result
    for node in reversed(nodes):
        graph.node.insert(0, node)
    if picture:
        shape = [shape[0], shape[2], shape[3], shape[1]]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(first, TensorProto.FLOAT, shape))


def round_end(model: Any) -> Any:
    """The streamlined network with integers behind its last sums, where hardware ends.

    Offsets of each class are rounded to whole steps of the sums; last activations count from 0.
    """
    from qonnx.transformation.infer_datatypes import InferDataTypes

    last = model.find_producer(model.graph.output[0].name)
    if last.op_type == "Add":
        _round_offsets(model, last)
    _count_from_zero(model)
    return model.transform(InferDataTypes())


def _round_offsets(model: Any, add: Any) -> None:
    """`scale * sums + offsets` becomes `scale * (sums + round(offsets / scale))`."""
    offsets = model.get_initializer(add.input[1])
    before = model.find_producer(add.input[0])
    if offsets is None or np.ptp(offsets) == 0:
        return
    scale = model.get_initializer(before.input[1]) if before.op_type == "Mul" else np.ones(1, np.float32)
    if scale is None or scale.size != 1:
        return
    model.set_initializer(add.input[1], np.round(offsets / scale.flat[0]).astype(np.float32))
    if before.op_type == "Mul":
        before.input[0], add.input[0] = add.output[0], before.input[0]
        before.output[0], add.output[0] = add.output[0], before.output[0]
        before.input[0] = add.output[0]
        nodes = model.graph.node
        place = list(nodes).index(before)
        nodes.remove(add)
        nodes.insert(place, add)


def _count_from_zero(model: Any) -> None:
    from qonnx.core.datatype import DataType
    from qonnx.custom_op.registry import getCustomOp

    ends = scalar_end(model)
    last = model.find_producer(ends[-1].input[0] if ends else model.graph.output[0].name)
    if last.op_type != "MultiThreshold":
        return
    op, steps = getCustomOp(last), model.get_initializer(last.input[1]).shape[1]
    _put_behind(model, last, Mul=op.get_nodeattr("out_scale"), Add=op.get_nodeattr("out_bias"))
    op.set_nodeattr("out_scale", 1.0)
    op.set_nodeattr("out_bias", 0.0)
    op.set_nodeattr("out_dtype", DataType.get_smallest_possible(steps).name)


def _put_behind(model: Any, node: Any, **numbers: float) -> None:
    """Nodes that scale and offset what a node gives, by operator, so that its takers get what they got."""
    from onnx import helper

    place, name, current = list(model.graph.node).index(node), node.output[0], f"{node.output[0]}_counts"
    model.set_tensor_shape(current, model.get_tensor_shape(name))
    node.output[0] = current
    for index, (operator, number) in enumerate(numbers.items()):
        result = name if index == len(numbers) - 1 else f"{name}_{operator}"
        model.set_initializer(f"{result}_{operator}_number", np.array(number, np.float32))
        made = helper.make_node(operator, [current, f"{result}_{operator}_number"], [result])
        model.graph.node.insert(place + 1 + index, made)
        model.set_tensor_shape(result, model.get_tensor_shape(name))
        current = result
