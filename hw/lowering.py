"""FINN as the compiler: from `student.qonnx.onnx` to a folded hardware graph, and to the dataflow form.

FINN is imported when it is needed (seconds), kept to a build folder of its own, and not trusted: what it
leaves unlowered, or changes in value, is an error that names the node.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import Integers
from hw.finn_execution import activations, check_values, execute_frame
from hw.finn_reader import is_kind
from pipeline.errors import LoweringError, ModelFileError

PART = "xc7z020clg400-1"
"""FINN wants an AMD part to choose layer variants; nothing in the dataflow form depends on it."""


@dataclass(frozen=True)
class Fold:
    """Neurons (PE) and inputs (SIMD) that a matrix-vector layer takes a cycle."""

    pe: int
    simd: int


@dataclass(frozen=True)
class Folding:
    """Either a rate in cycles a frame, for FINN's `SetFolding` to reach, or a fold for every layer."""

    target_cycles: int | None = None
    folds: tuple[Fold, ...] = ()


@contextlib.contextmanager
def _finn(log: Path) -> Iterator[None]:
    """FINN's settings and build folder, for this block only; what it prints goes to `log`."""
    before = os.environ.get("FINN_BUILD_DIR")
    with (
        tempfile.TemporaryDirectory(prefix="retort-finn-") as folder,
        log.open("a") as sink,
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
    ):
        os.environ["FINN_BUILD_DIR"] = folder
        try:
            from finn.util.settings import initialize_dummy_settings

            initialize_dummy_settings()
            yield
        finally:
            if before is None:
                del os.environ["FINN_BUILD_DIR"]
            else:
                os.environ["FINN_BUILD_DIR"] = before


def lower(qonnx: Path, *, folding: Folding, label: bool, log: Path) -> Any:
    """FINN's hardware graph (a qonnx `ModelWrapper`) of a QONNX file: specialized, folded, FIFOs sized.

    The input becomes uint8; with `label` the graph ends in an arg-max, otherwise in integer logits. Raises
    `ModelFileError` for a file that is no network, `LoweringError` for what FINN cannot take.
    """
    with _finn(log):
        model = _load(qonnx)
        try:
            reference = activations(model)
            model = _streamline(model, label)
            model = _partition(model)
            model = _fold(model, folding)
            model = _connect(model)
            check_values(model, reference)
        except (LoweringError, ModelFileError):
            raise
        except Exception as error:  # FINN raises bare exceptions of every kind
            raise LoweringError(f"{qonnx.name}: FINN failed with {error!r:.300}; see {log}") from error
    return model


def _apply(model: Any, transformations: Sequence[Any]) -> Any:
    for transformation in transformations:
        model = model.transform(transformation)
    return model


def _load(qonnx: Path) -> Any:
    from qonnx.core.datatype import DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    try:
        model = ModelWrapper(str(qonnx))
        model.set_tensor_datatype(model.graph.input[0].name, DataType["UINT8"])
        return cleanup_model(model)
    except Exception as error:  # of the parser, the checker and qonnx, whose assertions are not typed
        raise ModelFileError(f"{qonnx}: not a QONNX network ({error!r:.200}); export it again") from error


def _streamline(model: Any, label: bool) -> Any:
    """Scales out of the integer part, then FINN's abstract hardware layers."""
    from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
    from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
        InferQuantizedMatrixVectorActivation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from finn.transformation.streamline.absorb import AbsorbScalarMulAddIntoTopK
    from finn.transformation.streamline.extract_multithreshold_scale_bias import (
        ExtractMultiThresholdScaleBias,
    )
    from finn.transformation.streamline.round_thresholds import RoundAndClipThresholds
    from qonnx.core.datatype import DataType
    from qonnx.transformation.fold_constants import FoldConstants
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.transformation.insert_topk import InsertTopK

    names = [GiveUniqueNodeNames(), GiveReadableTensorNames()]
    model = _apply(model, [ConvertQONNXtoFINN(), InferShapes(), FoldConstants(), *names, InferDataTypes()])
    model = _apply(model, [ExtractMultiThresholdScaleBias(), Streamline()])
    if label:
        model = _apply(model, [InsertTopK(k=1), AbsorbScalarMulAddIntoTopK()])
    model.set_tensor_datatype(model.graph.input[0].name, DataType["UINT8"])
    lowering = [InferThresholdingLayer(), InferQuantizedMatrixVectorActivation(), InferLabelSelectLayer()]
    # What Streamline takes out, such as a scale of 1, takes the shape of its tensor with it.
    return _apply(model, [InferShapes(), InferDataTypes(), RoundAndClipThresholds(), *lowering, *names])


def _partition(model: Any) -> Any:
    """The hardware part alone; outside it only the final scale of the logits may be left."""
    from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from finn.util.fpgadataflow import is_fpgadataflow_node
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.custom_op.registry import getCustomOp

    left = [node for node in model.graph.node if not is_fpgadataflow_node(node)]
    if left and _is_final_scale(model, left[-1]):
        del left[-1]
    if left:
        strange = [node for node in left if node.op_type != "Mul"]  # scales are stuck behind these
        names = ", ".join(f"{node.name} ({node.op_type})" for node in strange or left)
        raise LoweringError(f"FINN left unlowered: {names}; Retort's hardware has no layer for it")
    partitions = model.transform(CreateDataflowPartition()).get_nodes_by_op_type("StreamingDataflowPartition")
    if len(partitions) != 1:
        raise LoweringError(f"FINN made {len(partitions)} hardware graphs of the network, not one")
    hardware = ModelWrapper(getCustomOp(partitions[0]).get_nodeattr("model"))
    return hardware.transform(SpecializeLayers(PART))


def _is_final_scale(model: Any, node: Any) -> bool:
    """Whether a node multiplies the network's output by one number."""
    factor = model.get_initializer(node.input[1]) if node.op_type == "Mul" else None
    return factor is not None and factor.size == 1 and node.output[0] == model.graph.output[0].name


def _fold(model: Any, folding: Folding) -> Any:
    """PE and SIMD of every layer, then the narrowest types."""
    from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
    from finn.transformation.fpgadataflow.minimize_weight_bit_width import MinimizeWeightBitWidth
    from finn.transformation.fpgadataflow.set_folding import SetFolding
    from qonnx.transformation.general import GiveUniqueNodeNames

    model = model.transform(GiveUniqueNodeNames())
    if folding.target_cycles is not None:
        # The width limit is Vivado's for weight streams; ROMs have none.
        model = model.transform(
            SetFolding(folding.target_cycles, mvau_wwidth_max=1024, two_pass_relaxation=False)
        )
    else:
        _set_folds(model, folding.folds)
    return _apply(model, [MinimizeWeightBitWidth(), MinimizeAccumulatorWidth()])


def _set_folds(model: Any, folds: tuple[Fold, ...]) -> None:
    """The build's own folds, in the order of the matrix-vector layers; what follows one takes its PE."""
    from qonnx.custom_op.registry import getCustomOp

    layers = sum(is_kind(node, "MVAU") for node in model.graph.node)
    if layers != len(folds):
        raise LoweringError(f"compile.fold: {len(folds)} folds for {layers} matrix-vector layers")
    remaining = iter(folds)
    for node in model.graph.node:
        op = getCustomOp(node)
        if is_kind(node, "MVAU"):
            fold = next(remaining)
            outputs, inputs = op.get_nodeattr("MH"), op.get_nodeattr("MW")
            if min(fold.pe, fold.simd) < 1 or outputs % fold.pe or inputs % fold.simd:
                raise LoweringError(
                    f"compile.fold, {node.name}: PE {fold.pe} must divide its {outputs} outputs,"
                    f" SIMD {fold.simd} its {inputs} inputs"
                )
            op.set_nodeattr("SIMD", fold.simd)
        op.set_nodeattr("PE", fold.pe)


def _connect(model: Any) -> Any:
    """Width converters, and a FIFO of one frame before every matrix-vector layer.

    A layer reads its frame NF times and frees it in the last reading. With room for the next frame beside it,
    a producer as slow as itself never waits for it nor it for the producer: the slowest layer sets the rate.
    """
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames

    model = _apply(model, [InsertDWC(), SpecializeLayers(PART)])
    for node in model.graph.node:
        op = getCustomOp(node)
        frame = int(np.prod(op.get_folded_input_shape()[:-1]))
        op.set_nodeattr("inFIFODepths", [frame if is_kind(node, "MVAU") else 2])
        op.set_nodeattr("outFIFODepths", [2])
    model = _apply(model, [InsertFIFO(), SpecializeLayers(PART)])
    return _apply(model, [GiveUniqueNodeNames(), GiveReadableTensorNames()])


def execute(model: Any, frames: NDArray[np.uint8], log: Path) -> Integers:
    """FINN's hardware graph executed: frames `(n, inputs)` to `(n, outputs)` integers."""
    with _finn(log):
        name = model.graph.output[0].name
        outputs = [execute_frame(model, frame.astype(np.float32))[name].reshape(-1) for frame in frames]
    return np.array(outputs).astype(np.int64)


def save_hardware(model: Any, path: Path) -> None:
    """Write a hardware graph as ONNX: the same bytes for the same graph."""
    path.write_bytes(model.model.SerializeToString(deterministic=True))


def load_hardware(path: Path) -> Any:
    """A hardware graph that `save_hardware` wrote; raises `ModelFileError`."""
    from google.protobuf.message import DecodeError
    from qonnx.core.modelwrapper import ModelWrapper

    try:
        model = ModelWrapper(str(path))
        if not model.graph.node:
            raise ValueError("no layers")
    except (OSError, AssertionError, DecodeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a hardware graph ({error!r:.200}); compile again") from error
    return model
