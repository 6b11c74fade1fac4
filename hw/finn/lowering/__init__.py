"""FINN as the compiler: from `student.qonnx.onnx` to a folded graph of FINN's hardware layers.

FINN is imported when it is needed (seconds), kept to a build folder of its own, and not trusted: what it
leaves unlowered, or changes in value, is an error that names the node.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ModelFileError
from hw.dataflow import Integers
from hw.dataflow.fold import Fold
from hw.finn.execution import activations, check_values, execute_frames
from hw.finn.lowering.folding import Folding, fold
from hw.finn.lowering.layers import keep_output, kept_output, logit_scale, partition, to_layers
from hw.finn.lowering.session import finn_failures, finn_session
from hw.finn.lowering.streamlining import end_in_label, load, streamline, take_bytes
from hw.finn.origin import in_file_order
from hw.imported import Bytes, integral
from hw.interface import Affine

__all__ = [
    "Bytes",
    "Fold",
    "Folding",
    "execute",
    "kept_output",
    "load_hardware",
    "lower",
    "save_hardware",
]


def lower(qonnx: Path, *, folding: Folding, label: bool, log: Path, given: Bytes | None = None) -> Any:
    """FINN's hardware graph (a qonnx `ModelWrapper`) of a QONNX file: its layers, specialized and folded.

    A student's input is uint8 already, and its every value is kept. A network made elsewhere is `given` bytes
    for its floats; kept is every value of FINN's streamlined form of it (`streamlined`). With `label` the
    graph ends in an arg-max, otherwise in integer logits. What these stand for is kept in it (`kept_output`).

    Raises:
        ModelFileError: the file is no network.
        LoweringError: FINN cannot take it, or changed a value; names the nodes.
    """
    with finn_session(log), finn_failures(f"{qonnx.name}: FINN failed", log):
        model = load(qonnx)
        meaning = Affine()
        if given is not None:
            made = integral(model, given)
            model, meaning = made.model, made.meaning
        take_bytes(model)
        reference = activations(model)
        model = to_layers(streamline(model, scaled=given is None))
        scale, offset = logit_scale(model)
        model = end_in_label(model) if label else model
        model = fold(partition(model), folding)
        check_values(model, reference, scale, offset)
        in_file_order(model)
        scales = meaning.scale * scale, meaning.scale * offset + meaning.offset
        keep_output(model, Affine(*scales))
    return model


def execute(model: Any, frames: NDArray[np.uint8], log: Path) -> Integers:
    """FINN's hardware graph executed: frames `(n, inputs)` to `(n, outputs)` integers."""
    with finn_session(log):
        name = model.graph.output[0].name
        outputs = [context[name].reshape(-1) for context in execute_frames(model, frames)]
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
