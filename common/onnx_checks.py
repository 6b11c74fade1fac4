"""ONNX files of others, looked at before anything takes them for a network."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ModelFileError

MAX_VALUES = 1 << 28
"""Of the network's input, and of a tensor in it."""

FLOAT = 1
"""ONNX's number for float32."""

COUNTS = ("strides", "dilations", "kernel_shape", "group", "blocksize", "num_outputs", "num_groups")
"""Attributes that shapes are divided by: onnx's own inference of shapes ends the process at a 0."""

QUANTIZERS = {"Quant": 4, "BipolarQuant": 2, "IntQuant": 4, "Trunc": 5}
"""Operators with a scale as their second input, whatever their domain, and the least inputs they take."""
OPERATORS = QUANTIZERS | {"MultiThreshold": 2}


def check_network(model: Any, where: str) -> None:
    """Check that an ONNX model is a whole graph of finite numbers, from an input to an output.

    Raises `ModelFileError`: begins with `where`; names the tensor or the node.
    """
    problem = next(chain(_problems(model.graph), _schema_problems(model)), None)
    if problem:
        raise ModelFileError(f"{where}: {problem}; export it again")


def _problems(graph: Any) -> Iterator[str]:
    if not graph.node:
        yield "has no nodes"
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    for name, ports in (("input", inputs), ("output", graph.output)):
        if not ports:
            yield f"has no {name}"
    yield from _wiring_problems(graph, constants | {port.name for port in inputs})
    yield from filter(None, map(_input_problem, inputs))
    yield from filter(None, map(_attribute_problem, graph.node))
    values: dict[str, NDArray[Any]] = {}
    for name, tensor in _tensors(graph):
        array = _values(tensor)
        if isinstance(array, str):
            yield f"tensor '{name}' {array}"
        else:
            values[name] = array
    yield from filter(None, (_scale_problem(node, values) for node in graph.node))


def _schema_problems(model: Any) -> Iterator[str]:
    """Nodes that are not as their operator's schema wants them."""
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {each.domain: each.version for each in model.opset_import}
    for node in model.graph.node:
        called = f"{node.op_type} '{node.name or ', '.join(node.output)}'"
        if node.op_type in OPERATORS:
            if len([name for name in node.input if name]) < OPERATORS[node.op_type] or not node.output:
                yield f"{called} takes {len(node.input)} inputs, {OPERATORS[node.op_type]} are needed"
        elif node.domain in ("", "ai.onnx"):
            try:
                checker.check_node(node, context)
            except checker.ValidationError as error:
                if "No Op registered" not in str(error):  # lowering names operators that it does not know
                    yield f"{called}: {' '.join(str(error).split()):.200}"


def _wiring_problems(graph: Any, given: set[str]) -> Iterator[str]:
    """Values that no node gives, or several; `given` are those that come from outside."""
    made = Counter(name for node in graph.node for name in node.output if name)
    for name, count in made.items():
        if count > 1 or name in given:
            yield f"'{name}' is given twice"
    for node in graph.node:
        for name in node.input:
            if name and name not in made and name not in given:
                yield f"{node.op_type} '{node.name}' takes '{name}', which nothing gives"
    for port in graph.output:
        if port.name not in made:
            yield f"no node gives its output '{port.name}'"


def _attribute_problem(node: Any) -> str | None:
    for attribute in node.attribute:
        if attribute.name in COUNTS and any(count < 1 for count in (*attribute.ints, *_single(attribute))):
            return f"{node.op_type} '{node.name or ' '.join(node.output)}' has {attribute.name} below 1"
    return None


def _single(attribute: Any) -> tuple[int, ...]:
    return () if attribute.ints else (attribute.i,)


def _input_problem(port: Any) -> str | None:
    if port.type.tensor_type.elem_type != FLOAT:
        return f"its input '{port.name}' is no tensor of float32"
    sides = [side.dim_value for side in port.type.tensor_type.shape.dim if side.HasField("dim_value")]
    if any(side < 1 for side in sides) or math.prod(sides) > MAX_VALUES:
        return f"its input '{port.name}' has shape {tuple(sides)}"
    return None


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    """Constants by the names that nodes take them by."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" and len(node.output) == 1 else ():
            if attribute.name == "value" and attribute.HasField("t"):
                yield node.output[0], attribute.t


def _values(tensor: Any) -> NDArray[Any] | str:
    """The tensor's values, or what is wrong with them."""
    from onnx import numpy_helper

    if any(side < 0 for side in tensor.dims) or math.prod(tensor.dims) > MAX_VALUES:
        return f"has shape {tuple(tensor.dims)}"
    try:
        array: NDArray[Any] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        return f"cannot be read ({error!s:.100})"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "holds NaN or infinity"
    return array


def _scale_problem(node: Any, values: dict[str, NDArray[Any]]) -> str | None:
    if node.op_type not in QUANTIZERS or len(node.input) < 2:
        return None
    scale = values.get(node.input[1])
    if scale is not None and not (scale.size and (scale > 0).all()):
        return f"{node.op_type} '{node.name or node.output[0]}' has a scale that is not above 0"
    return None
