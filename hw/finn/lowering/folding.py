"""How many neurons and inputs every layer takes a cycle."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.dataflow.fold import Fold
from hw.finn.graph import apply, is_kind
from hw.imported.origin import origin_of


@dataclass(frozen=True)
class Folding:
    """Either a rate in cycles a frame, for FINN's `SetFolding` to reach, or a fold for every layer.

    Folds are in the order in which the file has its matrix-vector and depthwise layers.
    """

    target_cycles: int | None = None
    folds: tuple[Fold, ...] = ()


def fold(model: Any, folding: Folding) -> Any:
    """PE and SIMD of every layer, then the narrowest types."""
    from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
    from finn.transformation.fpgadataflow.minimize_weight_bit_width import MinimizeWeightBitWidth
    from finn.transformation.fpgadataflow.set_folding import SetFolding

    if folding.target_cycles is not None:
        # The width limit is Vivado's for weight streams; ROMs have none.
        model = model.transform(
            SetFolding(folding.target_cycles, mvau_wwidth_max=1024, two_pass_relaxation=False)
        )
    else:
        _set_folds(model, folding)
    return apply(model, [MinimizeWeightBitWidth(), MinimizeAccumulatorWidth()])


def _set_folds(model: Any, folding: Folding) -> None:
    """The build's own folds for the layers with weights; what follows one takes its PE, what is before the
    first its SIMD."""
    from qonnx.custom_op.registry import getCustomOp

    fold_of = _fold_of_layers(model, folding.folds)
    words: dict[str, int] = {}  # values a word of every tensor
    for node in model.graph.node:
        op = getCustomOp(node)
        if is_kind(node, "MVAU", "VVAU"):
            _set_fold(node, op, _shape(node, op), *fold_of[node.name])
        elif "PE" in op.get_nodeattr_types():
            op.set_nodeattr("PE", gcd(words.get(node.input[0], 1), op.get_normal_output_shape()[-1]))
        given = op.get_nodeattr("PE") if "PE" in op.get_nodeattr_types() else words.get(node.input[0], 1)
        words |= dict.fromkeys(node.output, given)
    for node in reversed(model.graph.node):
        first = model.find_producer(node.input[0]) is None
        if is_kind(node, "ConvolutionInputGenerator", "FMPadding"):
            _set_words(model, node, "SIMD")
        elif first and is_kind(node, "Thresholding"):
            _set_words(model, node, "PE")


def _fold_of_layers(model: Any, folds: Sequence[Fold]) -> dict[str, tuple[str, Fold]]:
    """For every node with a fold, what the file calls its output, and its fold.

    Folds are in the order of the file, FINN's nodes in any.
    """
    layers = [node for node in model.graph.node if is_kind(node, "MVAU", "VVAU")]
    if len(layers) != len(folds):
        raise LoweringError(
            f"compile.fold: {len(folds)} folds for {len(layers)} matrix-vector and depthwise layers"
        )
    origins = {node.name: origin_of(model, node) for node in layers}
    if lost := [name for name, origin in origins.items() if origin is None]:
        raise LoweringError(
            f"compile.fold: FINN does not say which layers of the file {', '.join(lost)} are;"
            " give compile.target_cycles instead"
        )
    known = sorted((origin, name) for name, origin in origins.items() if origin is not None)
    return {name: (origin.tensor, each) for (origin, name), each in zip(known, folds, strict=True)}


def _set_words(model: Any, node: Any, attribute: str) -> None:
    """Give a window, the padding before it, or the network's first thresholds the words of what follows."""
    from qonnx.custom_op.registry import getCustomOp

    op, after = getCustomOp(node), model.find_consumer(node.output[0])
    grouped = is_kind(after, "VVAU", "Pool")
    wanted = getCustomOp(after).get_nodeattr("PE" if grouped else "SIMD")
    op.set_nodeattr(attribute, gcd(wanted, op.get_normal_input_shape()[-1]))


def _shape(node: Any, op: Any) -> tuple[int, int]:
    """Inputs and outputs of a matrix-vector layer, taps and channels of a depthwise one."""
    if is_kind(node, "MVAU"):
        return op.get_nodeattr("MW"), op.get_nodeattr("MH")
    return int(np.prod(op.get_nodeattr("Kernel"))), op.get_nodeattr("Channels")


def _set_fold(node: Any, op: Any, shape: tuple[int, int], tensor: str, fold: Fold) -> None:
    inputs, outputs = shape
    if min(fold.pe, fold.simd) < 1 or outputs % fold.pe or inputs % fold.simd:
        names = ("outputs", "inputs") if is_kind(node, "MVAU") else ("channels", "taps")
        raise LoweringError(
            f"compile.fold, {node.name}, which gives '{tensor}': PE {fold.pe} must divide its {outputs}"
            f" {names[0]}, SIMD {fold.simd} its {inputs} {names[1]}"
        )
    op.set_nodeattr("PE", fold.pe)
    op.set_nodeattr("SIMD", fold.simd)
