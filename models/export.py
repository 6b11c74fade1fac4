"""ONNX files of an integer network, written node by node: the same network gives the same bytes.

Three forms: `golden_model` (integers only) and `student_model` (QCDQ) in standard operators for onnxruntime,
and `qonnx_model` in QONNX's operators for FINN (arXiv:2206.07527 describes QCDQ and QONNX).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from models.integer import IntegerLayer, IntegerNetwork
from models.tensorfile import write_bytes
from pipeline.errors import ModelFileError

OPSET = 13
IR_VERSION = 8
QONNX_DOMAIN = "qonnx.custom_op.general"
QONNX_OPSET = 2
WEIGHT_ZERO_POINT = 128


class _Graph:
    """Nodes and initializers in the order of making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(
            numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        )
        return name

    def node(
        self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
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
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.initializers)
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(*domain) for domain in domains)]
        return helper.make_model(graph, producer_name="retort", opset_imports=opsets, ir_version=IR_VERSION)


def golden_model(network: IntegerNetwork, *, taps: bool = False) -> onnx.ModelProto:
    """Write the integer golden model, the one reference for hardware.

    Input `x` uint8 (batch, inputs); outputs `logits` int32 (batch, classes) and `label` int64 (batch,), the
    first of equal logits. With `taps`, also `layer0`, `layer1`, ...: the uint8 activations (batch, outputs)
    of each layer but the last.
    """
    graph = _Graph()
    graph.constant("levels_axis", np.array([-1], dtype=np.int64))
    graph.constant("input_zero_point", np.array(0, dtype=np.uint8))
    graph.constant("weight_zero_point", np.array(WEIGHT_ZERO_POINT, dtype=np.uint8))
    outputs = [_value("logits", TensorProto.INT32, network.classes), _value("label", TensorProto.INT64)]
    current = "x"
    for index, layer in enumerate(network.layers):
        accumulator = f"accumulator{index}" if layer.thresholds is not None else "logits"
        weights = graph.constant(f"weights{index}", _offset_weights(layer))
        operands = [current, weights, "input_zero_point", "weight_zero_point"]
        current = graph.node("MatMulInteger", operands, accumulator)
        if layer.thresholds is not None:
            levels = graph.constant(f"thresholds{index}", layer.thresholds)
            count = _count_reached(graph, index, current, levels, TensorProto.INT32)
            current = graph.node("Cast", [count], f"layer{index}", to=TensorProto.UINT8)
            if taps:
                outputs.append(_value(current, TensorProto.UINT8, layer.outputs))
    graph.node("ArgMax", [current], "label", axis=1, keepdims=0, select_last_index=0)
    return graph.model(f"{network.name}_golden", [_value("x", TensorProto.UINT8, network.inputs)], outputs)


def student_model(network: IntegerNetwork) -> onnx.ModelProto:
    """Write the QCDQ form: float `x` (batch, inputs), 0 to 255, to float `logits` (batch, classes).

    Exact in float32, since all scales are powers of two.
    """
    graph = _Graph()
    graph.constant("levels_axis", np.array([-1], dtype=np.int64))
    graph.constant("zero", np.array(0, dtype=np.uint8))
    graph.constant("weight_zero_point", np.array(WEIGHT_ZERO_POINT, dtype=np.uint8))
    current = _requantize(graph, "input", "x", 1.0, network.input_bits)
    for index, (layer, scale) in enumerate(zip(network.layers, network.accumulator_scales, strict=True)):
        stored = graph.constant(f"weights{index}", _offset_weights(layer))
        weight_scale = graph.constant(f"weight_scale{index}", np.array(layer.weight_scale, dtype=np.float32))
        weights = graph.node(
            "DequantizeLinear", [stored, weight_scale, "weight_zero_point"], f"dequantized{index}"
        )
        accumulator = f"accumulator{index}" if layer.thresholds is not None else "logits"
        current = graph.node("MatMul", [current, weights], accumulator)
        if layer.thresholds is not None and layer.activation_bits and layer.activation_scale:
            levels = graph.constant(
                f"thresholds{index}", layer.thresholds.astype(np.float32) * np.float32(scale)
            )
            count = _count_reached(graph, index, current, levels, TensorProto.FLOAT)
            step = graph.constant(f"step{index}", np.array(layer.activation_scale, dtype=np.float32))
            value = graph.node("Mul", [count, step], f"value{index}")
            current = _requantize(
                graph, f"layer{index}", value, layer.activation_scale, layer.activation_bits
            )
    inputs = [_value("x", TensorProto.FLOAT, network.inputs)]
    return graph.model(network.name, inputs, [_value("logits", TensorProto.FLOAT, network.classes)])


def qonnx_model(network: IntegerNetwork) -> onnx.ModelProto:
    """Write the QONNX form for FINN: float `x` (1, inputs), 0 to 255, to float `logits` (1, classes)."""
    graph = _Graph()
    current = "x"
    for index, (layer, scale) in enumerate(zip(network.layers, network.accumulator_scales, strict=True)):
        last = layer.thresholds is None
        weights = _quant_weights(graph, index, layer)
        current = graph.node("MatMul", [current, weights], "logits" if last else f"y{index}")
        if layer.thresholds is not None:
            levels = graph.constant(f"t{index}", layer.thresholds.astype(np.float32) * np.float32(scale))
            current = graph.node(
                "MultiThreshold",
                [current, levels],
                f"a{index}",
                domain=QONNX_DOMAIN,
                out_dtype=f"UINT{layer.activation_bits}",
                out_scale=layer.activation_scale,
                out_bias=0.0,
            )
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, network.inputs])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, network.classes])]
    return graph.model(network.name, inputs, outputs, [(QONNX_DOMAIN, QONNX_OPSET)])


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to `path` atomically; equal models give equal bytes."""
    write_bytes(path, model.SerializeToString(deterministic=True))


def load_checked(path: Path) -> onnx.ModelProto:
    """Read an ONNX file and check it against the ONNX specification.

    Raises:
        ModelFileError: the file is missing, truncated, or no valid model.
    """
    try:
        model = onnx.load(path)
        checker.check_model(model)
    except (OSError, DecodeError, checker.ValidationError) as cause:
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise ModelFileError(
            f"{path}: cannot be read as an ONNX model ({reason}); export it again"
        ) from cause
    return model


def _value(name: str, dtype: int, *sizes: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, ["batch", *sizes])


def _offset_weights(layer: IntegerLayer) -> NDArray[np.uint8]:
    """Store weights (inputs, outputs) as uint8 around 128.

    onnxruntime's uint8 by int8 kernel for AVX2 adds pairs of products in saturating int16 (255 * 127 * 2
    overflows); its uint8 by uint8 kernel widens first and is exact on every CPU. It may also fuse the
    dequantized form into it.
    """
    return np.asarray((layer.weights.T.astype(np.int16) + WEIGHT_ZERO_POINT).astype(np.uint8))


def _count_reached(graph: _Graph, index: int, accumulator: str, levels: str, dtype: int) -> str:
    """Count each channel's reached thresholds: (batch, outputs) of `dtype`."""
    column = graph.node("Unsqueeze", [accumulator, "levels_axis"], f"column{index}")  # (batch, outputs, 1)
    reached = graph.node("GreaterOrEqual", [column, levels], f"reached{index}")  # (batch, outputs, levels)
    ones = graph.node("Cast", [reached], f"ones{index}", to=dtype)
    return graph.node("ReduceSum", [ones, "levels_axis"], f"count{index}", keepdims=0)


def _requantize(graph: _Graph, name: str, value: str, scale: float, bits: int) -> str:
    """QuantizeLinear, Clip to `bits` bits where that is narrower than uint8, DequantizeLinear."""
    step = graph.constant(f"{name}_scale", np.array(scale, dtype=np.float32))
    current = graph.node("QuantizeLinear", [value, step, "zero"], f"{name}_quantized")
    if bits < 8:
        top = graph.constant(f"{name}_max", np.array(2**bits - 1, dtype=np.uint8))
        current = graph.node("Clip", [current, "zero", top], f"{name}_clipped")
    return graph.node("DequantizeLinear", [current, step, "zero"], name)


def _quant_weights(graph: _Graph, index: int, layer: IntegerLayer) -> str:
    weights = layer.weights.T.astype(np.float32) * np.float32(layer.weight_scale)
    operands = [
        graph.constant(f"w{index}", weights),
        graph.constant(f"ws{index}", np.array(layer.weight_scale, dtype=np.float32)),
        graph.constant(f"wz{index}", np.array(0.0, dtype=np.float32)),
        graph.constant(f"wb{index}", np.array(layer.weight_bits, dtype=np.float32)),
    ]
    return graph.node(
        "Quant", operands, f"wq{index}", domain=QONNX_DOMAIN, signed=1, narrow=1, rounding_mode="ROUND"
    )
