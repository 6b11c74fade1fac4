"""What the three forms share: the walk through a network, the layout of its tensors, nodes and constants."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from common.topology import INPUT
from models.students.integer import (
    Add,
    Conv,
    Dense,
    Depthwise,
    IntegerLayer,
    IntegerNetwork,
    MaxPool,
    SumPool,
    Weighted,
)

OPSET = 13
IR_VERSION = 8
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class Writer(ABC):
    """Writes a network layer by layer.

    Tensors are (batch, channels, height, width), those of dense layers (batch, outputs). A dense layer takes
    images flat in the order height, width, channels.
    """

    batch = 0  # for Reshape: as many as there are

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.tensors: dict[int, str] = {}
        self.flat: dict[int, bool] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer, once."""
        if all(known.name != name for known in self.initializers):
            array = np.ascontiguousarray(value).reshape(value.shape)
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output; the output's name."""
        name = f"{operator}_{output}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=name, domain=domain, **attributes)
        )
        return output

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        domains: Sequence[tuple[str, int]] = (),
    ) -> onnx.ModelProto:
        """All that was written."""
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.initializers)
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(*domain) for domain in domains)]
        return helper.make_model(graph, producer_name="retort", opset_imports=opsets, ir_version=IR_VERSION)

    @property
    def gives_map(self) -> bool:
        """Whether the last layer gives logits for every pixel."""
        return isinstance(self.network.layers[-1].operation, Conv)

    def write(self) -> str:
        """Write every layer; the name of the logits, (batch, outputs)."""
        for index, layer in enumerate(self.network.layers):
            last = index == len(self.network.layers) - 1
            end = "map" if self.gives_map else "logits"
            name = end if last else f"accumulator{index}" if layer.thresholds is not None else f"a{index}"
            self.flat[index] = isinstance(layer.operation, Dense)
            self.tensors[index] = self._operation(index, layer, name)
            if layer.thresholds is not None:
                self.tensors[index] = self._activate(index, layer, self.tensors[index])
        return self._ended(self.tensors[len(self.network.layers) - 1])

    def _ended(self, logits: str) -> str:
        """Write `logits`: what the last layer gives, values of a map in a row, channels last."""
        if not self.gives_map:
            return logits
        last = self.node("Transpose", [logits], "map_nhwc", perm=TO_NHWC)
        sizes = self.constant("flat", np.array([self.batch, -1]))
        return self.node("Reshape", [last, sizes], "logits")

    def _operation(self, index: int, layer: IntegerLayer, name: str) -> str:
        source = layer.sources[0]
        match layer.operation:
            case Dense() as dense:
                return self._dense(index, dense, self.flattened(source), name)
            case Conv() | Depthwise() as kernels:
                return self._convolve(index, kernels, self.tensors[source], name)
            case MaxPool(size=size, stride=stride):
                sizes: dict[str, Any] = {"kernel_shape": list(size), "strides": list(stride), "pads": [0] * 4}
                return self.node("MaxPool", [self.tensors[source]], name, **sizes)
            case SumPool() as pool:
                return self._sum_pool(index, pool, self.tensors[source], name)
            case Add():
                return self._add(index, [self.tensors[each] for each in layer.sources], name)

    def flattened(self, source: int) -> str:
        """A source as (batch, values) in the order height, width, channels; written once."""
        tensor = self.tensors[source]
        name = f"{tensor}_flat"
        if any(node.output[0] == name for node in self.nodes):
            return name
        if self.flat.get(source):
            return tensor
        height, width, _ = self.network.out_shape(source)
        if height * width > 1:
            tensor = self.node("Transpose", [tensor], f"{tensor}_nhwc", perm=TO_NHWC)
        sizes = self.constant("flat", np.array([self.batch, -1]))
        return self.node("Reshape", [tensor, sizes], name)

    def takes_images(self) -> bool:
        """Whether any layer takes the input as an image."""
        return any(
            INPUT in layer.sources and not isinstance(layer.operation, Dense) for layer in self.network.layers
        )

    def frames(self, x: str) -> None:
        """Take `x` (batch, inputs) as the input; as an image where a layer wants one."""
        if not self.takes_images():
            self.tensors[INPUT], self.flat[INPUT] = x, True
            return
        sizes = self.constant("frame", np.array([0, *self.network.shape]))
        image = self.node("Reshape", [x, sizes], f"{x}_nhwc")
        self.tensors[INPUT] = self.node("Transpose", [image], f"{x}_nchw", perm=TO_NCHW)

    def _sum_pool(self, index: int, operation: SumPool, x: str, name: str) -> str:
        """Write the sums over each window of `x`: a depthwise convolution with weights of 1."""
        channels = self.network.in_shape(index)[2]
        ones = np.ones((channels, *operation.size), np.int8)
        return self._convolve(index, Depthwise(ones, 2, operation.scale, operation.size), x, name)

    def _column(self, index: int, values: NDArray[Any]) -> NDArray[Any]:
        """Values a channel (channels, ...) in the form that broadcasts over a layer's tensor."""
        return values if self.flat[index] else values.reshape(len(values), 1, 1, *values.shape[1:])

    def count_reached(self, index: int, accumulator: str, levels: NDArray[Any], dtype: int) -> str:
        """How many of its channel's levels (channels, k) each value reaches, as `dtype`."""
        self.constant("levels_axis", np.array([-1]))
        thresholds = self.constant(f"thresholds{index}", self._column(index, levels))
        wide = self.node("Unsqueeze", [accumulator, "levels_axis"], f"column{index}")
        reached = self.node("GreaterOrEqual", [wide, thresholds], f"reached{index}")
        ones = self.node("Cast", [reached], f"ones{index}", to=dtype)
        return self.node("ReduceSum", [ones, "levels_axis"], f"count{index}", keepdims=0)

    @abstractmethod
    def _dense(self, index: int, operation: Dense, x: str, name: str) -> str:
        """Write the product of `x` (batch, inputs) and the weights."""

    @abstractmethod
    def _convolve(self, index: int, operation: Conv | Depthwise, x: str, name: str) -> str:
        """Write the convolution of `x`."""

    @abstractmethod
    def _add(self, index: int, terms: list[str], name: str) -> str:
        """Write the sum of two tensors."""

    @abstractmethod
    def _activate(self, index: int, layer: IntegerLayer, accumulator: str) -> str:
        """Write the thresholds of a layer."""


class FloatWriter(Writer):
    """Writes dequantized weights and accumulators: float32 operators."""

    @abstractmethod
    def _weights(self, index: int, operation: Weighted) -> str:
        """Write the dequantized weights, as `laid_out` has them."""

    def _laid_out(self, operation: Weighted) -> NDArray[np.int8]:
        """The weights as MatMul and Conv take them."""
        return operation.weights.T if isinstance(operation, Dense) else oihw(operation)

    def _scaled(self, operation: Weighted) -> NDArray[np.float32]:
        """The weights as `laid_out`, times their scale."""
        return self._laid_out(operation).astype(np.float32) * np.float32(operation.weight_scale)

    def _levels(self, index: int) -> NDArray[np.float32]:
        """A layer's thresholds (channels, levels) on dequantized accumulators."""
        thresholds = self.network.layers[index].thresholds
        assert thresholds is not None
        return thresholds.astype(np.float32) * np.float32(self.network.accumulator_scale(index))

    def _dense(self, index: int, operation: Dense, x: str, name: str) -> str:
        return self.node("MatMul", [x, self._weights(index, operation)], name)

    def _convolve(self, index: int, operation: Conv | Depthwise, x: str, name: str) -> str:
        return self.node("Conv", [x, self._weights(index, operation)], name, **window(operation))

    def _add(self, index: int, terms: list[str], name: str) -> str:
        return self.node("Add", terms, name)


def activation(index: int) -> str:
    """Name the activations of a layer in every form; by it, they are found again in FINN's model."""
    return f"layer{index}"


def window(operation: Conv | Depthwise) -> dict[str, Any]:
    """ONNX's attributes of a convolution."""
    down, across = operation.padding
    return {
        "kernel_shape": list(operation.weights.shape[1:3]),
        "strides": list(operation.stride),
        "pads": [down, across, down, across],
        "dilations": [1, 1],
        "group": operation.outputs if isinstance(operation, Depthwise) else 1,
    }


def oihw(operation: Weighted) -> NDArray[np.int8]:
    """The weights as ONNX has them: (outputs, inputs of a group, rows, columns)."""
    if isinstance(operation, Depthwise):
        return operation.weights[:, None]
    return np.ascontiguousarray(operation.weights.transpose(0, 3, 1, 2))


def value(name: str, dtype: int, *sizes: int) -> onnx.ValueInfoProto:
    """A tensor of a batch."""
    return helper.make_tensor_value_info(name, dtype, ["batch", *sizes])
