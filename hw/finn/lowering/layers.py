"""From a streamlined network to FINN's hardware layers, and those alone."""

from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.finn.graph import apply, naming

PART = "xc7z020clg400-1"
"""FINN wants an AMD part to choose layer variants; nothing in the dataflow form depends on it."""


def to_layers(model: Any) -> Any:
    """FINN's abstract hardware layers in place of what they can take."""
    from finn.transformation.fpgadataflow.convert_to_hw.binary_matrix_vector_activation import (
        InferBinaryMatrixVectorActivation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.conv_inp_gen import InferConvInpGen
    from finn.transformation.fpgadataflow.convert_to_hw.duplicate_streams import InferDuplicateStreamsLayer
    from finn.transformation.fpgadataflow.convert_to_hw.elementwise_binary_operation import (
        InferElementwiseBinaryOperation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.fm_padding import InferFMPadding
    from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
    from finn.transformation.fpgadataflow.convert_to_hw.pool import InferPool
    from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
        InferQuantizedMatrixVectorActivation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
    from finn.transformation.fpgadataflow.convert_to_hw.vector_vector_activation import (
        InferVectorVectorActivation,
    )
    from finn.transformation.move_reshape import RemoveCNVtoFCFlatten
    from finn.transformation.streamline.round_thresholds import RoundAndClipThresholds
    from qonnx.transformation.infer_data_layouts import InferDataLayouts
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    layers = [
        InferFMPadding(),
        InferPool(),
        InferConvInpGen(),
        InferThresholdingLayer(),
        InferVectorVectorActivation(),
        InferBinaryMatrixVectorActivation(),
        InferQuantizedMatrixVectorActivation(),
        InferElementwiseBinaryOperation(_adds_integers),
        InferLabelSelectLayer(),
    ]
    model = _binary(apply(model, [InferDataLayouts(), RoundAndClipThresholds()]))
    model = apply(model, layers)
    last = [RemoveCNVtoFCFlatten(), InferDuplicateStreamsLayer(), InferShapes(), InferDataTypes()]
    model = apply(model, [*last, *naming()])
    _shorten_strides(model)
    return model


def _shorten_strides(model: Any) -> None:
    """Strides no longer than the image, as FINN's windows want; there is one window then in any case."""
    from qonnx.custom_op.registry import getCustomOp

    for node in model.get_nodes_by_op_type("ConvolutionInputGenerator"):
        op = getCustomOp(node)
        sizes = zip(op.get_nodeattr("Stride"), op.get_nodeattr("IFMDim"), strict=True)
        op.set_nodeattr("Stride", [int(min(pair)) for pair in sizes])


def _adds_integers(model: Any, node: Any) -> bool:
    """Whether a node adds two streams, or integers; FINN would make hardware of floats too."""
    if node.op_type != "Add" or not model.get_tensor_datatype(node.input[0]).is_integer():
        return False
    number = model.get_initializer(node.input[1])
    if number is None:
        return model.get_initializer(node.input[0]) is None
    return node not in scalar_end(model) and np.array_equal(number, np.round(number))


def _binary(model: Any) -> Any:
    """Products of -1 and 1 counted as equal bits; other activations of -1 and 1 as FINN's thresholds want."""
    from finn.transformation.streamline import Streamline
    from finn.transformation.streamline.round_thresholds import RoundAndClipThresholds
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount

    if not any(model.get_tensor_datatype(node.output[0]).name == "BIPOLAR" for node in model.graph.node):
        return model
    model = apply(model, [ConvertBipolarMatMulToXnorPopcount(), Streamline(), RoundAndClipThresholds()])
    for node in model.get_nodes_by_op_type("MultiThreshold"):
        op = getCustomOp(node)
        if op.get_nodeattr("out_dtype") == "BIPOLAR":  # a Thresholding of this type scales by itself
            op.set_nodeattr("out_scale", 1.0)
            op.set_nodeattr("out_bias", 0.0)
    return model


def partition(model: Any) -> Any:
    """The hardware part alone; outside it only scale and offset of all logits may be left."""
    from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from finn.util.fpgadataflow import is_fpgadataflow_node
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    ends = [node.name for node in scalar_end(model)]
    left = [n for n in model.graph.node if not is_fpgadataflow_node(n) and n.name not in ends]
    if left:
        # Scales and transpositions are stuck behind or before the others.
        strange = [node for node in left if node.op_type not in ("Mul", "Transpose")]
        names = ", ".join(f"{node.name} ({node.op_type})" for node in strange or left)
        raise LoweringError(f"FINN left unlowered: {names}; Retort's hardware has no layer for it")
    partitions = model.transform(CreateDataflowPartition()).get_nodes_by_op_type("StreamingDataflowPartition")
    if len(partitions) != 1:
        raise LoweringError(f"FINN made {len(partitions)} hardware graphs of the network, not one")
    hardware = ModelWrapper(getCustomOp(partitions[0]).get_nodeattr("model"))
    return apply(hardware, [SpecializeLayers(PART), *naming()])


def scalar_end(model: Any) -> list[Any]:
    """The last nodes that multiply the network's output by one positive number, or add one to it."""
    ends: list[Any] = []
    name = model.graph.output[0].name
    while (node := model.find_producer(name)) is not None and node.op_type in ("Mul", "Add"):
        number = model.get_initializer(node.input[1])
        if number is None or np.ptp(number) > 0 or (node.op_type == "Mul" and number.flat[0] <= 0):
            break
        ends.append(node)
        name = node.input[0]
    return ends


def logit_scale(model: Any) -> tuple[float, float]:
    """Scale and offset by which the network's output is that of its hardware part."""
    scale, offset = 1.0, 0.0
    for node in reversed(scalar_end(model)):
        number = float(model.get_initializer(node.input[1]).flat[0])
        scale, offset = (
            (scale * number, offset * number) if node.op_type == "Mul" else (scale, offset + number)
        )
    return scale, offset
