"""Networks and FINN's graphs executed by qonnx and FINN's own Python models, and their values compared."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError
from hw.dataflow import Integers
from hw.finn.graph import base_kind, is_kind
from hw.finn.session import finn_failures, finn_session
from hw.imported import ByteValues, Integral, integral, logits_of
from hw.imported.file import load
from hw.imported.origin import Origin, origin_of

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reference:
    """A network's values for some frames, before FINN made hardware of it.

    Attributes:
        counts: of every multi-threshold node, by where it comes from: (frames, values).
        outputs: the final ones, (frames, values).
    """

    counts: Mapping[Origin, Values]
    outputs: Values


def _probe(model: Any) -> NDArray[np.float32]:
    """Frames that put every layer to work: dark, bright, and at random."""
    shape = model.get_tensor_shape(model.graph.input[0].name)
    rng = np.random.default_rng(0)
    frames = [np.zeros(shape), np.full(shape, 255), *rng.integers(0, 256, (2, *shape))]
    return np.array(frames, np.float32)


def activations(model: Any) -> Reference:
    """What lowering has to keep; counts are flat, in the order of the hardware's streams: channels last.

    Raises `LoweringError` where an activation of the network has lost its origin.
    """
    from qonnx.core.onnx_exec import execute_onnx

    entry, output = model.graph.input[0].name, model.graph.output[0].name
    contexts = [execute_onnx(model, {entry: frame}, return_full_exec_context=True) for frame in _probe(model)]
    layers = model.get_nodes_by_op_type("MultiThreshold")
    counts = {
        _origin(model, node): np.array([_counts(node, context) for context in contexts]) for node in layers
    }
    return Reference(counts, np.array([context[output].reshape(-1) for context in contexts]))


def _origin(model: Any, node: Any) -> Origin:
    origin = origin_of(model, node)
    if origin is None:
        raise LoweringError(
            f"{node.name}: FINN made activations that are not of the file; report its version"
        )
    return origin


def _counts(node: Any, context: dict[str, Values]) -> Values:
    from qonnx.custom_op.registry import getCustomOp

    op = getCustomOp(node)
    values: Values = (context[node.output[0]] - op.get_nodeattr("out_bias")) / op.get_nodeattr("out_scale")
    if values.ndim == 4 and op.get_nodeattr("data_layout") == "NCHW":
        values = values.transpose(0, 2, 3, 1)
    return values.reshape(-1)


def check_values(model: Any, reference: Reference, scale: float, offset: float) -> None:
    """Compare the lowered graph's activations with those of the network that FINN took, and logits or class.

    Each layer is compared with the activations that it was made of, not with any that are alike. The
    network's logits are `scale` times the hardware's integers, plus `offset`. Raises `LoweringError`, naming
    the first node that differs.
    """
    contexts = list(execute_frames(model, _probe(model)))
    _check_counts(model, contexts, reference)
    output = model.graph.output[0].name
    last = model.find_producer(output)
    outputs = np.array([context[output].reshape(-1) for context in contexts])
    if is_kind(last, "LabelSelect"):
        same = np.array_equal(outputs[:, 0], reference.outputs.argmax(axis=1))
    else:  # a step of the hardware's is four times what float32 may have lost
        same = bool((abs(outputs * scale + offset - reference.outputs) <= scale / 4).all())
    if not same:
        raise LoweringError(f"{last.name}: FINN changed the network's outputs; report its version")


def _check_counts(model: Any, contexts: list[dict[str, Values]], reference: Reference) -> None:
    layers = {_origin(model, node): node for node in model.graph.node if is_kind(node, "Thresholding")}
    if layers.keys() != reference.counts.keys():
        names = ", ".join(sorted(each.tensor for each in layers.keys() ^ reference.counts.keys()))
        raise LoweringError(
            f"FINN made {len(layers)} threshold layers of {len(reference.counts)} activations;"
            f" of one side only: {names}; report its version"
        )
    for origin, node in layers.items():
        given = np.array([_hardware_counts(node, context) for context in contexts])
        if not np.array_equal(given, reference.counts[origin]):
            raise LoweringError(
                f"{node.name}, which gives '{origin.tensor}': FINN changed this layer's values;"
                " report its version"
            )


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


def execute(model: Any, frames: NDArray[np.uint8], log: Path) -> Integers:
    """FINN's hardware graph executed: frames `(n, inputs)` to `(n, outputs)` integers."""
    with finn_session(log):
        name = model.graph.output[0].name
        outputs = [context[name].reshape(-1) for context in execute_frames(model, frames)]
    return np.array(outputs).astype(np.int64)


def integers_of(qonnx: Path, *, values: ByteValues, log: Path) -> Integral:
    """The integers of an imported network.

    Raises `ModelFileError`: the file is no network. Raises `LoweringError`: hardware has no layer for a node,
    or its values are not quantized; names the node.
    """
    with finn_session(log), finn_failures(f"{qonnx.name}: qonnx failed", log):
        return integral(load(qonnx), values)


def execute_integers(made: Integral, frames: NDArray[np.uint8], log: Path) -> Integers:
    """The integers (n, outputs) of frames of the core, (n, ...)."""
    with finn_session(log):
        return _executed(made.model, "logits", frames.astype(np.float32)).astype(np.int64)


def execute_imported(
    qonnx: Path, frames: NDArray[np.uint8], *, values: ByteValues, log: Path
) -> NDArray[np.float64]:
    """The logits (n, outputs) of an imported network, of frames (n, *shape) in its own order.

    Raises `ModelFileError` for a file that is no network.
    """
    with finn_session(log):
        model = load(qonnx)
        return _executed(model, logits_of(model)[0], values.floats(frames))


def _executed(model: Any, tensor: str, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    from qonnx.core.onnx_exec import execute_onnx

    name = model.graph.input[0].name
    feeds = ({name: frame.reshape(model.get_tensor_shape(name))} for frame in frames)
    found = [execute_onnx(model, feed, return_full_exec_context=True)[tensor] for feed in feeds]
    return np.array(found, np.float64).reshape(len(frames), -1)
