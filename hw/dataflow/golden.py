"""The integer reference of a dataflow graph, in ONNX's standard operators.

Of a network that Retort trained, `models` writes the reference. Of any other it is written here, from the
graph of layers that hardware is made of: what onnxruntime makes of it and what the hardware makes of it must
be the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.errors import LoweringError
from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    GlobalSum,
    Integers,
    Layer,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    Window,
)

OPSET = 13
IR_VERSION = 8
BATCH = -1
ZERO_POINT = 128


def golden_from_graph(graph: DataflowGraph, *, taps: bool = False) -> onnx.ModelProto:
    """The graph's reference: uint8 `x` (batch, *shape) to what the graph gives.

    Outputs are int32 `logits` (batch, outputs), where the graph ends in them, and int64 `label` (batch,), the
    first of equal logits. With `taps` also what each threshold layer gives, (batch, values), int32, called
    `tap_` and the layer's name.
    """
    writer = _Writer()
    names = {INPUT: writer.reshape(writer.node("Cast", ["x"], to=TensorProto.INT32), graph.inputs)}
    tapped = []
    for index, (layer, sources) in enumerate(zip(graph.layers, graph.links, strict=True)):
        names[index] = writer.layer(layer, [names[source] for source in sources])
        if isinstance(layer, Threshold):
            tapped.append((names[index], f"tap_{layer.name}", layer.o_elements))
    outputs = []
    result, last = names[len(graph.layers) - 1], graph.layers[-1]
    if isinstance(last, ArgMax):
        writer.node("Identity", [result], "label")
    else:
        outputs.append(writer.output(result, "logits", TensorProto.INT32, last.o_elements))
        writer.node("ArgMax", ["logits"], "label", axis=1, keepdims=0, select_last_index=0)
    outputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
    if taps:
        for stream, called, size in tapped:
            outputs.append(writer.output(stream, called, TensorProto.INT32, size))
    entry = helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", *graph.shape])
    made = helper.make_graph(writer.nodes, "golden", [entry], outputs, writer.initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, producer_name="retort", opset_imports=opsets, ir_version=IR_VERSION)


class _Writer:
    """Nodes and initializers in the order of making; every stream is int32, (batch, values of a frame)."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """A node; the name of what it gives."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """An initializer; its name."""
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def shaped(self, *sizes: int) -> str:
        """A shape of so many frames as there are."""
        return self.constant(np.array([BATCH, *sizes], np.int64))

    def reshape(self, name: str, *sizes: int) -> str:
        """Every frame in another shape."""
        return self.node("Reshape", [name, self.shaped(*sizes)])

    def output(self, name: str, called: str, kind: int, size: int) -> onnx.ValueInfoProto:
        """A stream as an output of the model."""
        self.node("Identity", [name], called)
        return helper.make_tensor_value_info(called, kind, ["batch", size])

    def integers(self, name: str, values: Integers) -> str:
        """An int32 initializer of a layer's figures."""
        if np.abs(values).max(initial=0) >= 1 << 31:
            raise LoweringError(f"{name}: figures beyond 32 bits; quantize with fewer")
        return self.constant(values.astype(np.int32))

    def layer(self, layer: Layer, sources: Sequence[str]) -> str:
        """The nodes of a layer; the name of what it gives."""
        (x, *_) = sources
        match layer:
            case MatrixVector():
                return self._matrix_vector(layer, x)
            case Depthwise():
                return self._depthwise(layer, x)
            case Threshold():
                return self._threshold(layer, x)
            case Window():
                return self._window(layer, x)
            case Reduce():
                split = (layer.vectors, layer.channels // layer.lanes, layer.taps, layer.lanes)
                return self._over("ReduceMax", x, split, 3, layer.o_elements)
            case MaxPool():
                return self._max_pool(layer, x)
            case GlobalSum():
                return self._over("ReduceSum", x, (layer.pixels, layer.channels), 1, layer.channels)
            case Add():
                return self.node("Add", sources)
            case ArgMax():
                return self.node("ArgMax", [x], axis=1, keepdims=0, select_last_index=0)
        return x  # plumbing

    def _over(self, operator: str, x: str, split: tuple[int, ...], axis: int, size: int) -> str:
        """A frame `split` and reduced over an axis (of the batch's), flat again."""
        parts = self.reshape(x, *split)
        if operator == "ReduceSum":
            axes = self.constant(np.array([axis], np.int64))
            return self.reshape(self.node(operator, [parts, axes], keepdims=0), size)
        return self.reshape(self.node(operator, [parts], axes=[axis], keepdims=0), size)

    def _biased(self, name: str, sums: str, bias: Integers | None) -> str:
        return sums if bias is None else self.node("Add", [sums, self.integers(name, bias)])

    def _matrix_vector(self, layer: MatrixVector, x: str) -> str:
        vectors = self.reshape(x, layer.vectors, layer.inputs)
        if layer.x_bits <= 8 and np.abs(layer.weights).max() < ZERO_POINT:
            sums = self._bytes_product(layer, vectors)
        else:
            sums = self.node("MatMul", [vectors, self.integers(layer.name, layer.weights.T)])
        return self.reshape(self._biased(layer.name, sums, layer.bias), layer.o_elements)

    def _bytes_product(self, layer: MatrixVector, vectors: str) -> str:
        """The product of bytes, weights around 128: exact and fast with onnxruntime on every CPU."""
        taken = self.node("Cast", [vectors], to=TensorProto.UINT8)
        weights = self.constant((layer.weights.T + ZERO_POINT).astype(np.uint8))
        zeros = [self.constant(np.array(zero, np.uint8)) for zero in (0, ZERO_POINT)]
        return self.node("MatMulInteger", [taken, weights, *zeros])

    def _depthwise(self, layer: Depthwise, x: str) -> str:
        groups = layer.channels // layer.pe
        taken = self.reshape(x, layer.vectors, groups, layer.taps, layer.pe)
        weights = layer.weights.reshape(groups, layer.pe, layer.taps).transpose(0, 2, 1)
        products = self.node("Mul", [taken, self.integers(layer.name, weights)])
        axes = self.constant(np.array([3], np.int64))
        sums = self.reshape(
            self.node("ReduceSum", [products, axes], keepdims=0), layer.vectors, layer.channels
        )
        return self.reshape(self._biased(layer.name, sums, layer.bias), layer.o_elements)

    def _threshold(self, layer: Threshold, x: str) -> str:
        column = self.reshape(x, layer.vectors, layer.channels, 1)
        levels = self.integers(layer.name, layer.thresholds)
        reached = self.node("GreaterOrEqual", [column, levels])
        ones = self.node("Cast", [reached], to=TensorProto.INT32)
        axes = self.constant(np.array([3], np.int64))
        return self.reshape(self.node("ReduceSum", [ones, axes], keepdims=0), layer.o_elements)

    def _window(self, layer: Window, x: str) -> str:
        """Values picked by place; behind the last there is one more, the padding's."""
        padded, values = any(layer.padding), layer.i_elements
        places = replace(layer, pad_value=values).execute(np.arange(values)[None])[0]
        if padded:
            pads = self.constant(np.array([0, 0, 0, 1], np.int64))
            fill = self.constant(np.array(layer.pad_value, np.int32))
            x = self.node("Pad", [x, pads, fill], mode="constant")
        return self.node("Gather", [x, self.constant(places)], axis=1)

    def _max_pool(self, layer: MaxPool, x: str) -> str:
        (rows, columns, channels), (high, wide) = layer.o_shape, layer.size
        grid = np.arange(layer.i_elements).reshape(layer.shape)[: rows * high, : columns * wide]
        cells = grid.reshape(rows, high, columns, wide, channels).transpose(0, 2, 4, 1, 3)
        picked = self.node("Gather", [x, self.constant(cells.reshape(-1))], axis=1)
        return self._over("ReduceMax", picked, (layer.o_elements, high * wide), 2, layer.o_elements)
