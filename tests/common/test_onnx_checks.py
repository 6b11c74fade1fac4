"""ONNX files that are no whole network: named before anything takes them for one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.errors import ModelFileError
from common.onnx_checks import check_network
from tests.hw.foreign import Foreign


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    network = Foreign((6,))
    x = network.relu(network.dense(network.quant("input", 4, 0.13), 6, 5), 3, 0.41)
    network.dense(x, 5, 3)
    return onnx.load(network.save(tmp_path / "n.onnx"))


def fill(model: onnx.ModelProto, name: str, value: float) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            array = np.full(tuple(tensor.dims), value, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, name))


def pass_through(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(model.graph.input[0])


def constant(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.array([np.inf], np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["infinite"], value=value))


BAD: dict[str, Callable[[onnx.ModelProto], object]] = {
    "has no nodes": lambda model: model.ClearField("graph"),
    "has no input": lambda model: model.graph.ClearField("input"),
    "has no output": lambda model: model.graph.ClearField("output"),
    "no node gives its output 'input'": pass_through,
    "takes 'nowhere', which nothing gives": lambda model: model.graph.node[2].input.append("nowhere"),
    "'v0' is given twice": lambda model: model.graph.node[2].output.append("v0"),
    "'k1' is given twice": lambda model: model.graph.node[2].output.append("k1"),
    r"its input 'input' has shape \(1, 0\)": lambda model: setattr(side(model), "dim_value", 0),
    r"its input 'input' has shape \(1, -3\)": lambda model: setattr(side(model), "dim_value", -3),
    r"its input 'input' has shape \(1, 1099511627776\)": lambda m: setattr(side(m), "dim_value", 2**40),
    "its input 'input' is no tensor of float32": lambda model: model.graph.input[0].ClearField("type"),
    r"tensor 'k3' has shape \(5, 6, 1099511627776\)": lambda m: tensor(m, "k3").dims.append(2**40),
    "tensor 'k3' cannot be read": lambda model: setattr(tensor(model, "k3"), "raw_data", b"abc"),
    "tensor 'k3' holds NaN or infinity": lambda model: fill(model, "k3", np.nan),
    "tensor 'infinite' holds NaN or infinity": constant,
    "Gemm 'v2' has strides below 1": lambda model: count(model, "strides", [1, 0]),
    "Gemm 'v2' has group below 1": lambda model: count(model, "group", 0),
    "Quant 'v0' has a scale that is not above 0": lambda model: fill(model, "k0", 0),
}


def count(model: onnx.ModelProto, name: str, value: int | list[int]) -> None:
    model.graph.node[2].attribute.append(helper.make_attribute(name, value))


def side(model: onnx.ModelProto) -> onnx.TensorShapeProto.Dimension:
    return model.graph.input[0].type.tensor_type.shape.dim[1]


def tensor(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(each for each in model.graph.initializer if each.name == name)


@pytest.mark.parametrize("message", BAD)
def test_no_whole_network(message: str, model: onnx.ModelProto) -> None:
    check_network(model, "n.onnx")
    BAD[message](model)
    with pytest.raises(ModelFileError, match=f"^n.onnx: .*{message}.*; export it again$"):
        check_network(model, "n.onnx")
