"""FINN's graphs executed by its own Python models of its layers, and their values compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.finn_reader import base_kind, is_kind
from pipeline.errors import LoweringError


def _probe(model: Any) -> NDArray[np.float32]:
    """Frames that put every layer to work: dark, bright, and at random."""
    shape = model.get_tensor_shape(model.graph.input[0].name)
    rng = np.random.default_rng(0)
    frames = [np.zeros(shape), np.full(shape, 255), *rng.integers(0, 256, (2, *shape))]
    return np.array(frames, np.float32)


def activations(model: Any) -> list[list[NDArray[Any]]]:
    """For each of some frames the counts of every multi-threshold node, in order, and the final output."""
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.custom_op.registry import getCustomOp

    given = []
    for frame in _probe(model):
        context = execute_onnx(model, {model.graph.input[0].name: frame}, return_full_exec_context=True)
        values = [
            context[node.output[0]] / getCustomOp(node).get_nodeattr("out_scale")
            for node in model.graph.node
            if node.op_type == "MultiThreshold"
        ]
        given.append([*values, context[model.graph.output[0].name]])
    return given


def check_values(model: Any, reference: list[list[NDArray[Any]]]) -> None:
    """Compare the lowered graph's activations with those of the network as it came, and logits or class.

    Raises `LoweringError`, naming the first node that differs.
    """
    thresholding = [node for node in model.graph.node if is_kind(node, "Thresholding")]
    last, outputs = model.graph.node[-1], []
    for frame, expected in zip(_probe(model), reference, strict=True):
        context = execute_frame(model, frame)
        if len(thresholding) != len(expected) - 1:
            raise LoweringError(
                f"FINN made {len(thresholding)} threshold layers of {len(expected) - 1} activations"
            )
        for node, values in zip(thresholding, expected[:-1], strict=True):
            if not np.array_equal(context[node.output[0]].reshape(values.shape), values):
                raise LoweringError(f"{node.name}: FINN changed this layer's values; report its version")
        outputs.append(context[model.graph.output[0].name].reshape(-1))
    given, wanted = np.array(outputs), np.array([expected[-1].reshape(-1) for expected in reference])
    if is_kind(last, "LabelSelect"):
        same = np.array_equal(given[:, 0], wanted.argmax(axis=1))
    else:  # what were multiples of one scale are integers now
        greatest = np.unravel_index(np.abs(given).argmax(), given.shape)
        same = np.array_equal(given * abs(wanted[greatest] / (given[greatest] or 1)), wanted)
    if not same:
        raise LoweringError(f"{last.name}: FINN changed the network's outputs; report its version")


def execute_frame(model: Any, frame: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Every tensor of the hardware graph for one frame, by FINN's own Python models of its layers."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    generic = ModelWrapper(model.model, make_deepcopy=True)
    for node in generic.graph.node:
        # The specialized variants execute through generated C++ or RTL, for which FINN wants AMD's tools.
        node.op_type = base_kind(node)
        node.domain = "finn.custom_op.fpgadataflow"
    name = generic.graph.input[0].name
    feed = {name: frame.reshape(generic.get_tensor_shape(name)).astype(np.float32)}
    context: dict[str, NDArray[Any]] = execute_onnx(generic, feed, return_full_exec_context=True)
    return context
