"""What exporters leave out or say in ways that FINN does not take: rewritten before FINN sees it."""

from math import prod
from typing import Any

import numpy as np

_WINDOWED = ("Conv", "MaxPool", "AveragePool")
_ONES_BITS = "INT2"


def tidy(model: Any) -> Any:
    """The network with every attribute of its windows; series as pictures a pixel wide, averages as sums."""
    from qonnx.transformation.infer_shapes import InferShapes

    if len(model.get_tensor_shape(model.graph.input[0].name)) == 3:
        _widen(model)
        model = model.transform(InferShapes())
    for node in model.graph.node:
        if node.op_type in _WINDOWED:
            _complete(model, node)
    for node in list(model.graph.node):
        if node.op_type in ("GlobalAveragePool", "AveragePool"):
            _sum_for_average(model, node)
    return model.transform(InferShapes())


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _set(node: Any, **values: Any) -> None:
    from onnx import helper

    kept = [each for each in node.attribute if each.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])


def _complete(model: Any, node: Any) -> None:
    """ONNX's defaults, which FINN wants to read."""
    given = _attributes(node)
    kernel = given.get("kernel_shape") or list(model.get_tensor_shape(node.input[1])[2:])
    defaults = {"kernel_shape": kernel, "strides": [1] * len(kernel), "pads": [0] * 2 * len(kernel)}
    if node.op_type == "Conv":
        defaults |= {"group": 1, "dilations": [1] * len(kernel)}
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        defaults.pop("pads")  # FINN works it out
    _set(node, **{name: value for name, value in defaults.items() if name not in given})


def _widen(model: Any) -> None:
    """Tensors (N, C, L) to (N, C, L, 1), and what goes with them."""
    graph = model.graph
    for node in graph.node:
        given = _attributes(node)
        if node.op_type in _WINDOWED:
            ones = ("kernel_shape", "strides", "dilations")
            _set(node, **{name: [*given[name], 1] for name in ones if name in given})
            if "pads" in given:
                before, after = given["pads"]
                _set(node, pads=[before, 0, after, 0])
        if node.op_type == "Transpose" and len(given["perm"]) == 3:
            _set(node, perm=[*given["perm"], 3])
        if node.op_type == "Reshape":
            sizes = model.get_initializer(node.input[1])
            if sizes is not None and len(sizes) == 3:
                model.set_initializer(node.input[1], np.append(sizes, 1))
    for name in [each.name for each in graph.initializer if len(each.dims) == 3]:
        model.set_initializer(name, model.get_initializer(name)[..., None])
    graph.input[0].type.tensor_type.shape.dim.add().dim_value = 1
    if len(model.get_tensor_shape(graph.output[0].name) or ()) == 3:
        graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    del graph.value_info[:]


def _sum_for_average(model: Any, node: Any) -> None:
    """A depthwise convolution with ones, then the division; where padding does not count it stays."""
    from onnx import helper
    from qonnx.core.datatype import DataType

    given, shape = _attributes(node), model.get_tensor_shape(node.input[0])
    channels, kernel = shape[1], given.get("kernel_shape", list(shape[2:]))
    if any(given.get("pads", ())) and not given.get("count_include_pad", 0):
        return
    if given.get("ceil_mode", 0) or len(shape) != 4:
        return
    names = [f"{node.output[0]}_{part}" for part in ("ones", "sum", "share")]
    model.set_initializer(names[0], np.ones((channels, 1, *kernel), np.float32))
    model.set_tensor_datatype(names[0], DataType[_ONES_BITS])
    model.set_initializer(names[2], np.array(1 / prod(kernel), np.float32))
    options = {"strides": given.get("strides", kernel), "pads": given.get("pads", [0] * 4)}
    if node.op_type == "GlobalAveragePool":
        options = {"strides": [1, 1], "pads": [0] * 4}
    summed = helper.make_node(
        "Conv",
        [node.input[0], names[0]],
        [names[1]],
        kernel_shape=kernel,
        group=channels,
        dilations=[1, 1],
        **options,
    )
    shared = helper.make_node("Mul", [names[1], names[2]], [node.output[0]])
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    model.graph.node.insert(place, shared)
    model.graph.node.insert(place, summed)
