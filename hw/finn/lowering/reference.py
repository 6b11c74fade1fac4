"""Networks made elsewhere executed by qonnx: as they came, and as networks of integers."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import Integers
from hw.finn.lowering.session import finn_failures, finn_session
from hw.finn.lowering.streamlining import load
from hw.imported import Bytes, Integral, integral, logits_of


def integers_of(qonnx: Path, *, given: Bytes, log: Path) -> Integral:
    """The integers of a network made elsewhere.

    Raises:
        ModelFileError: the file is no network.
        LoweringError: hardware has no layer for a node, or its values are not quantized; names the node.
    """
    with finn_session(log), finn_failures(f"{qonnx.name}: qonnx failed", log):
        return integral(load(qonnx), given)


def execute_integers(made: Integral, frames: NDArray[np.uint8], log: Path) -> Integers:
    """The integers (n, outputs) of frames of the core, (n, ...)."""
    with finn_session(log):
        return _executed(made.model, "logits", frames.astype(np.float32)).astype(np.int64)


def execute_given(qonnx: Path, frames: NDArray[np.uint8], *, given: Bytes, log: Path) -> NDArray[np.float64]:
    """The logits (n, outputs) of the network as it came, of frames (n, *shape) in its own order.

    Raises `ModelFileError` for a file that is no network.
    """
    with finn_session(log):
        model = load(qonnx)
        return _executed(model, logits_of(model)[0], given.floats(frames))


def _executed(model: Any, tensor: str, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    from qonnx.core.onnx_exec import execute_onnx

    name = model.graph.input[0].name
    feeds = ({name: frame.reshape(model.get_tensor_shape(name))} for frame in frames)
    found = [execute_onnx(model, feed, return_full_exec_context=True)[tensor] for feed in feeds]
    return np.array(found, np.float64).reshape(len(frames), -1)
