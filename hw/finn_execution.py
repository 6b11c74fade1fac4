"""FINN's graphs executed by its own Python models of its layers, and their values compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.finn_reader import base_kind, is_kind
from pipeline.errors import LoweringError

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reference:
    """A network's values for some frames, before FINN made hardware of it.

    Attributes:
        values: for each frame the counts of every multi-threshold node, in order, and the final output.
        fan_ins: of each such node, the inputs of the sums that it counts for; 0 where it takes no such sums.
    """

    values: list[list[Values]]
    fan_ins: tuple[int, ...]


def _probe(model: Any) -> NDArray[np.float32]:
    """Frames that put every layer to work: dark, bright, and at random."""
    shape = model.get_tensor_shape(model.graph.input[0].name)
    rng = np.random.default_rng(0)
    frames = [np.zeros(shape), np.full(shape, 255), *rng.integers(0, 256, (2, *shape))]
    return np.array(frames, np.float32)


def activations(model: Any) -> Reference:
    """What lowering has to keep; counts are flat, in the order of the hardware's streams: channels last."""
    from qonnx.core.onnx_exec import execute_onnx

    given, layers = [], model.get_nodes_by_op_type("MultiThreshold")
    for frame in _probe(model):
        context = execute_onnx(model, {model.graph.input[0].name: frame}, return_full_exec_context=True)
        counts = [_counts(node, context) for node in layers]
        given.append([*counts, context[model.graph.output[0].name].reshape(-1)])
    return Reference(given, tuple(_fan_in(model, node) for node in layers))


def _fan_in(model: Any, node: Any) -> int:
    """Inputs of each sum that a threshold layer takes, in a network or in hardware; 0 where it takes none."""
    from qonnx.custom_op.registry import getCustomOp

    before = model.find_producer(node.input[0])
    if before is None:
        return 0
    if is_kind(before, "MVAU"):
        return int(getCustomOp(before).get_nodeattr("MW"))
    if is_kind(before, "VVAU"):
        return int(np.prod(getCustomOp(before).get_nodeattr("Kernel")))
    if before.op_type == "MatMul":
        return int(model.get_tensor_shape(before.input[1])[0])
    return int(np.prod(model.get_tensor_shape(before.input[1])[1:])) if before.op_type == "Conv" else 0


def _counts(node: Any, context: dict[str, Values]) -> Values:
    from qonnx.custom_op.registry import getCustomOp

    op = getCustomOp(node)
    values: Values = (context[node.output[0]] - op.get_nodeattr("out_bias")) / op.get_nodeattr("out_scale")
    if values.ndim == 4 and op.get_nodeattr("data_layout") == "NCHW":
        values = values.transpose(0, 2, 3, 1)
    return values.reshape(-1)


def order_of_layers(model: Any, reference: Reference) -> list[int]:
    """For each threshold layer of a hardware graph, its place among the activations of the network.

    FINN orders branches as it likes, so values tell; where several layers give the same, the size of their
    sums does. Raises `LoweringError`, naming the first node whose values are not the network's.
    """
    return _places(model, list(execute_frames(model, _probe(model))), reference)


def _places(model: Any, contexts: list[dict[str, Values]], reference: Reference) -> list[int]:
    layers = [node for node in model.graph.node if is_kind(node, "Thresholding")]
    left = {place: np.array(values) for place, values in enumerate(zip(*reference.values, strict=True))}
    left.popitem()  # the output
    if len(layers) != len(left):
        raise LoweringError(f"FINN made {len(layers)} threshold layers of {len(left)} activations")
    places = []
    for node in layers:
        given = np.array([_hardware_counts(node, context) for context in contexts])
        alike = [place for place, values in left.items() if np.array_equal(values, given)]
        if not alike:
            raise LoweringError(f"{node.name}: FINN changed this layer's values; report its version")
        size = _fan_in(model, node)
        places.append(min(alike, key=lambda place: reference.fan_ins[place] != size))
        del left[places[-1]]
    return places


def check_values(model: Any, reference: Reference, scale: float, offset: float) -> list[int]:
    """Compare the lowered graph's activations with those of the network that FINN took, and logits or class.

    The network's logits are `scale` times the hardware's integers, plus `offset`. Returns what
    `order_of_layers` does. Raises `LoweringError`, naming the first node that differs.
    """
    contexts = list(execute_frames(model, _probe(model)))
    places = _places(model, contexts, reference)
    last = model.graph.node[-1]
    wanted = np.array([values[-1] for values in reference.values])
    outputs = np.array([context[model.graph.output[0].name].reshape(-1) for context in contexts])
    if is_kind(last, "LabelSelect"):
        same = np.array_equal(outputs[:, 0], wanted.argmax(axis=1))
    else:  # a step of the hardware's is four times what float32 may have lost
        same = bool((abs(outputs * scale + offset - wanted) <= scale / 4).all())
    if not same:
        raise LoweringError(f"{last.name}: FINN changed the network's outputs; report its version")
    return places


def _hardware_counts(node: Any, context: dict[str, Values]) -> Values:
    from qonnx.custom_op.registry import getCustomOp

    op = getCustomOp(node)
    bipolar = op.get_output_datatype().name == "BIPOLAR"
    step, start = (2, -1) if bipolar else (1, op.get_nodeattr("ActVal"))
    counts: Values = (context[node.output[0]].reshape(-1) - start) / step
    return counts


def execute_frames(model: Any, frames: Iterable[Values]) -> Iterator[dict[str, Values]]:
    """Every tensor of the hardware graph for each frame, by FINN's own Python models of its layers."""
    from qonnx.core.onnx_exec import execute_onnx

    # The specialized variants execute through generated C++ or RTL, for which FINN wants AMD's tools.
    generic = unspecialized(model)
    name = generic.graph.input[0].name
    shape = generic.get_tensor_shape(name)
    for frame in frames:
        feed = {name: frame.reshape(shape).astype(np.float32)}
        yield execute_onnx(generic, feed, return_full_exec_context=True)


def unspecialized(model: Any) -> Any:
    """A copy of a hardware graph with FINN's layers as they are before a variant is chosen."""
    from qonnx.core.modelwrapper import ModelWrapper

    generic = ModelWrapper(model.model, make_deepcopy=True)
    for node in generic.graph.node:
        node.op_type = base_kind(node)
        node.domain = "finn.custom_op.fpgadataflow"
    return generic
