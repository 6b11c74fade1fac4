"""The integer network, node by node, as FINN takes it: images with channels first, weights as integers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hw.dataflow import Integers

DOMAIN = "qonnx.custom_op.general"
OPSET = 18
IR_VERSION = 8


class Writer:
    """Nodes in the order of making; tensors are (1, C, H, W) or (1, features).

    Attributes:
        sources: for each tensor the one of the imported network that it stands for.
    """

    def __init__(self) -> None:
        self._source = ""
        self.sources: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.types: dict[str, str] = {}
        self._bipolar: set[str] = set()  # tensors of -1 and 1 only

    @contextmanager
    def standing_for(self, source: str) -> Iterator[None]:
        """Nodes made in this block stand for a tensor of the imported network."""
        before, self._source = self._source, source
        try:
            yield
        finally:
            self._source = before

    def input(self, shape: tuple[int, ...]) -> str:
        """The tensor of the input: bytes `x`, (1, H, W, C) for shape (C, H, W)."""
        self.shape = shape if len(shape) == 1 else (*shape[1:], shape[0])
        return "x" if len(shape) == 1 else self._node("Transpose", ["x"], perm=(0, 3, 1, 2))

    def dense(self, x: str, weights: Integers) -> str:
        """`weights` (outputs, inputs) by a flat tensor."""
        return self._node("MatMul", [x, self._weights(x, weights.T)])

    def conv(self, x: str, weights: Integers, *, strides: Any, pads: Any, group: int) -> str:
        """`weights` (outputs, inputs of a group, kernel)."""
        kernel = weights.shape[2:]
        return self._node(
            "Conv",
            [x, self._weights(x, weights)],
            kernel_shape=kernel,
            strides=strides,
            pads=pads,
            group=group,
            dilations=[1, 1],
        )

    def scale(self, name: str, factors: Integers) -> bool:
        """Multiply channels of what a layer with weights gives; False for any other node's."""
        node = next((each for each in self.nodes if each.output[0] == name), None)
        if node is None or node.op_type not in ("MatMul", "Conv"):
            return False
        weights = node.input[1]
        shape = (1, -1) if node.op_type == "MatMul" else (-1, 1, 1, 1)
        self.constants[weights] = self.constants[weights] * factors.reshape(shape).astype(np.float32)
        turned = bool((np.abs(factors) == 1).all())
        self._annotate(weights, bipolar=turned and self.types[weights] == "BIPOLAR")
        return True

    def threshold(self, x: str, levels: Integers, least: int, *, bipolar: bool, flat: bool) -> str:
        """How many of its channel's `levels` (channels or 1, n) each value reaches, from `least` on."""
        greatest = 1 if bipolar else least + levels.shape[1]
        given = self._node(
            "MultiThreshold",
            [x, self._constant("t", levels)],
            DOMAIN,
            out_dtype="BIPOLAR" if bipolar else _datatype(least, greatest),
            out_scale=2.0 if bipolar else 1.0,
            out_bias=float(least),
            data_layout="NC" if flat else "NCHW",
        )
        if bipolar:
            self._bipolar.add(given)
        return given

    def count_from_zero(self, name: str) -> tuple[int, int] | None:
        """Make thresholds give counts; the step and the least of what they gave, None for any other node."""
        node = next((each for each in self.nodes if each.output[0] == name), None)
        if node is None or node.op_type != "MultiThreshold" or any(name in each.input for each in self.nodes):
            return None
        before = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        levels = self.constants[node.input[1]].shape[1]
        kept = [each for each in node.attribute if not each.name.startswith("out_")]
        del node.attribute[:]
        node.attribute.extend(kept)
        for key, value in {"out_dtype": _datatype(0, levels), "out_scale": 1.0, "out_bias": 0.0}.items():
            node.attribute.append(helper.make_attribute(key, value))
        return int(before["out_scale"]), int(before["out_bias"])

    def max_pool(self, x: str, *, kernel: Any, strides: Any) -> str:
        """The greatest of each window."""
        return self._same(x, self._node("MaxPool", [x], kernel_shape=kernel, strides=strides, pads=[0] * 4))

    def pad(self, x: str, pads: Sequence[int]) -> str:
        """Zeros around an image: rows and columns before, then behind; FINN pads with channels last."""
        sizes = [self._constant("s", np.array(values)) for values in (pads, (1, 2))]
        padded = self._node(
            "Pad", [self.channels_last(x), sizes[0], self._constant("z", np.array(0)), sizes[1]]
        )
        return self._node("Transpose", [padded], perm=(0, 3, 1, 2))

    def add(self, x: str, y: str | Integers) -> str:
        """The sum of two tensors, or with an integer for each channel."""
        if not isinstance(y, str):
            values, y = y, self._constant("b", y)
            self.types[y] = _datatype(min(int(values.min()), -1), int(values.max()))
        return self._node("Add", [x, y])

    def channels_last(self, x: str) -> str:
        """An image as hardware gives it, (1, H, W, C)."""
        return self._node("Transpose", [x], perm=(0, 2, 3, 1))

    def flatten(self, x: str, *, pixels: int) -> str:
        """(1, values), channels last."""
        last = self.channels_last(x) if pixels > 1 else x
        sizes = self._constant("s", np.array([1, -1]))
        return self._same(x, self._node("Reshape", [last, sizes]))

    def model(self, output: str) -> Any:
        """All that was written, a qonnx `ModelWrapper` from bytes `x` to integers `logits`."""
        from qonnx.core.datatype import DataType
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

        next(node for node in self.nodes if node.output[0] == output).output[0] = "logits"
        self.sources["logits"] = self.sources.pop(output)
        entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])
        end = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph(self.nodes, "imported", [entry], [end], initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 2)]
        made = helper.make_model(graph, producer_name="retort", opset_imports=opsets, ir_version=IR_VERSION)
        model = ModelWrapper(made)
        for name, kind in self.types.items():
            model.set_tensor_datatype(name, DataType[kind])
        return model.transform(InferShapes())

    def _node(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        name = f"{operator}_{output}"
        self.sources[output] = self._source
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=name, domain=domain, **attributes)
        )
        return output

    def _constant(self, prefix: str, values: NDArray[Any]) -> str:
        name = f"{prefix}{len(self.constants)}"
        kind = np.int64 if prefix == "s" else np.float32
        self.constants[name] = np.ascontiguousarray(values, kind)
        return name

    def _same(self, x: str, given: str) -> str:
        if x in self._bipolar:
            self._bipolar.add(given)
        return given

    def _weights(self, x: str, values: Integers) -> str:
        name = self._constant("w", values)
        self._annotate(name, bipolar=x in self._bipolar and bool((np.abs(values) == 1).all()))
        return name

    def _annotate(self, name: str, *, bipolar: bool) -> None:
        """FINN counts equal bits where weights and what they multiply are bipolar."""
        values = self.constants[name]
        signed = _datatype(min(int(values.min()), -1), int(values.max()))
        self.types[name] = "BIPOLAR" if bipolar else signed


def _datatype(low: int, high: int) -> str:
    """The narrowest of qonnx's integer types that holds both."""
    if low >= 0:
        return f"UINT{max(high.bit_length(), 1)}"
    return f"INT{max((-low - 1).bit_length(), high.bit_length()) + 1}"
