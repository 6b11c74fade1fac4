"""FINN's hardware graph read into the dataflow form."""

from collections import Counter
from typing import Any

import numpy as np

from hw.dataflow import ArgMax, DataflowGraph, Fifo, Integers, Layer, MatrixVector, Threshold, WidthConverter
from pipeline.errors import LoweringError


def base_kind(node: Any) -> str:
    """FINN's layer type of a node, without the variant: `MVAU` for `MVAU_rtl`."""
    return str(node.op_type).removesuffix("_rtl").removesuffix("_hls")


def is_kind(node: Any, kind: str) -> bool:
    """Whether a node is FINN's layer `kind`, in any of its variants."""
    return base_kind(node) == kind


def read(model: Any) -> DataflowGraph:
    """The dataflow form of FINN's hardware graph; raises `LoweringError` naming a node without a layer."""
    from qonnx.custom_op.registry import getCustomOp

    layers: list[Layer] = []
    serials: Counter[str] = Counter()  # FINN numbers each variant of a kind from 0
    for node in model.graph.node:
        op = getCustomOp(node)
        kind = base_kind(node)
        if kind not in _READERS:
            raise LoweringError(f"{node.name} ({node.op_type}): Retort's hardware has no layer for it")
        layers += _READERS[kind](f"{kind.lower()}_{serials[kind]}", model, node, op)
        serials[kind] += 1
    shape = model.get_tensor_shape(model.graph.input[0].name)
    bits = model.get_tensor_datatype(model.graph.input[0].name).bitwidth()
    return DataflowGraph(int(np.prod(shape)), bits, tuple(layers))


def _integers(model: Any, tensor: str, node: Any) -> Integers:
    values = model.get_initializer(tensor)
    if values is None or not np.array_equal(values, np.round(values)):
        raise LoweringError(f"{node.name}: parameters '{tensor}' are not constant integers")
    return values.astype(np.int64)  # type: ignore[no-any-return]


def _matrix_vector(name: str, model: Any, node: Any, op: Any) -> list[Layer]:
    if op.get_input_datatype(0).signed():
        raise LoweringError(f"{node.name}: takes signed inputs; activations must be unsigned")
    pe = op.get_nodeattr("PE")
    bits = op.get_input_datatype(0).bitwidth()
    weights = _integers(model, node.input[1], node).T
    layers: list[Layer] = [MatrixVector(name, weights, bits, pe, op.get_nodeattr("SIMD"))]
    if not op.get_nodeattr("noActivation"):
        layers.append(_thresholds(f"{name}_threshold", model, node, op, node.input[2]))
    return layers


def _thresholds(name: str, model: Any, node: Any, op: Any, tensor: str) -> Threshold:
    if op.get_nodeattr("ActVal"):
        raise LoweringError(f"{node.name}: activations start at {op.get_nodeattr('ActVal')}, not 0")
    thresholds = _integers(model, tensor, node)
    channels, steps = op.get_nodeattr("MH" if is_kind(node, "MVAU") else "NumChannels"), thresholds.shape[1]
    if steps + 1 != 1 << op.get_output_datatype().bitwidth():
        raise LoweringError(f"{node.name}: {steps} thresholds do not make a whole number of bits")
    return Threshold(name, np.broadcast_to(thresholds, (channels, steps)), op.get_nodeattr("PE"))


def _thresholding(name: str, model: Any, node: Any, op: Any) -> list[Layer]:
    return [_thresholds(name, model, node, op, node.input[1])]


def _width_converter(name: str, _model: Any, node: Any, op: Any) -> list[Layer]:
    bits = op.get_input_datatype(0).bitwidth()
    lanes = [op.get_nodeattr(key) // bits for key in ("inWidth", "outWidth")]
    return [WidthConverter(name, int(np.prod(op.get_normal_input_shape())), *lanes)]


def _fifo(name: str, _model: Any, node: Any, op: Any) -> list[Layer]:
    folded = op.get_nodeattr("folded_shape")
    return [Fifo(name, int(np.prod(folded)), folded[-1], op.get_nodeattr("depth"))]


def _label_select(name: str, _model: Any, node: Any, op: Any) -> list[Layer]:
    return [ArgMax(name, op.get_nodeattr("Labels"), op.get_nodeattr("PE"))]


_READERS = {
    "MVAU": _matrix_vector,
    "Thresholding": _thresholding,
    "StreamingDataWidthConverter": _width_converter,
    "StreamingFIFO": _fifo,
    "LabelSelect": _label_select,
}
