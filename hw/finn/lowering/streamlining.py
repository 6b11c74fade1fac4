"""From QONNX to integers: scales and batch-norms into thresholds, convolutions to matrices, channels last."""

from typing import Any

from common.errors import LoweringError
from hw.finn.graph import apply, naming, settle
from hw.imported.origin import NoteParameters


def take_bytes(model: Any) -> None:
    """Declare the network's input uint8, and a image's channels last."""
    from qonnx.core.data_layout import NHWC
    from qonnx.core.datatype import DataType

    name = model.graph.input[0].name
    model.set_tensor_datatype(name, DataType["UINT8"])
    if len(model.get_tensor_shape(name)) == 4:
        model.set_tensor_layout(name, NHWC)


def streamline(model: Any, *, scaled: bool) -> Any:
    """Integer weights, thresholds and sums; what scale is left multiplies the network's output.

    `scaled` says whether activations have scales, to be moved behind the thresholds of the file.
    """
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from finn.transformation.streamline.extract_multithreshold_scale_bias import (
        ExtractMultiThresholdScaleBias,
    )
    from finn.transformation.streamline.reorder import MoveLinearPastEltwiseAdd, MoveLinearPastFork
    from finn.transformation.streamline.sign_to_thres import ConvertSignToThres
    from qonnx.transformation.fold_constants import FoldConstants
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

    extract = [ExtractMultiThresholdScaleBias()] if scaled else []
    model = apply(model, [*extract, ConvertQONNXtoFINN(), InferShapes()])
    model = apply(model, [FoldConstants(), ConvertSignToThres(), NoteParameters()])
    model = apply(model, [*naming(), InferDataTypes(), Streamline()])
    model = settle(model, [MoveLinearPastFork(), MoveLinearPastEltwiseAdd()], [Streamline()])
    if any(node.op_type in ("Conv", "MaxPool") for node in model.graph.node):
        model = _pool_channels_last(_last_as_it_is(model.transform(LowerConvsToMatMul())))
        model = settle(model, _channels_last())
        model = settle(model.transform(Streamline()), _channels_last(), [Streamline()])
    take_bytes(model)
    # What Streamline takes out, such as a scale of 1, takes the shape of its tensor with it.
    return apply(model, [InferShapes(), InferDataTypes()])


def _last_as_it_is(model: Any) -> Any:
    """The network's end without two transpositions that undo each other, for which FINN's own pass fails."""
    last = model.find_producer(model.graph.output[0].name)
    before = model.find_producer(last.input[0])
    if last.op_type != "Transpose" or before is None or before.op_type != "Transpose":
        return model
    producer = model.find_producer(before.input[0])
    for node in (last, before):
        model.graph.node.remove(node)
    producer.output[0] = model.graph.output[0].name
    return model


def _pool_channels_last(model: Any) -> Any:
    """Max pools between two transpositions: FINN's own pass loses a pool that several nodes take from."""
    from onnx import helper

    for node in model.get_nodes_by_op_type("MaxPool"):
        taken, given = f"{node.name}_in", f"{node.name}_out"
        for outside, inside in ((node.input[0], taken), (node.output[0], given)):
            batch, channels, height, width = model.get_tensor_shape(outside)
            model.set_tensor_shape(inside, [batch, height, width, channels])
        before = helper.make_node("Transpose", [node.input[0]], [taken], perm=(0, 2, 3, 1))
        after = helper.make_node("Transpose", [given], [node.output[0]], perm=(0, 3, 1, 2))
        node.op_type, node.domain = "MaxPoolNHWC", "qonnx.custom_op.general"
        node.input[0], node.output[0] = taken, given
        place = list(model.graph.node).index(node)
        model.graph.node.insert(place + 1, after)
        model.graph.node.insert(place, before)
    return apply(model, naming())


def _channels_last() -> list[Any]:
    """The passes that move transpositions to where they meet and end each other."""
    from finn.transformation.streamline.absorb import (
        AbsorbConsecutiveTransposes,
        AbsorbTransposeIntoMultiThreshold,
    )
    from finn.transformation.streamline.reorder import (
        MoveTransposePastFork,
        MoveTransposePastJoinAdd,
    )

    return [
        AbsorbTransposeIntoMultiThreshold(),
        MoveTransposePastFork(),
        MoveTransposePastJoinAdd(),
        AbsorbConsecutiveTransposes(),
    ]


def end_in_label(model: Any) -> Any:
    """Hardware layers with an arg-max behind the logits; raises `LoweringError` where there is only one."""
    from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
    from finn.transformation.streamline.absorb import AbsorbScalarMulAddIntoTopK
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.transformation.insert_topk import InsertTopK

    if model.get_tensor_shape(model.graph.output[0].name)[-1] == 1:
        raise LoweringError("the label of a network with one output is always 0; take its logits")
    model = apply(model, [InsertTopK(k=1), AbsorbScalarMulAddIntoTopK(), InferShapes(), InferDataTypes()])
    return apply(model, [InferLabelSelectLayer(), *naming()])
