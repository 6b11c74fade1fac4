"""How far a network made elsewhere is from what hardware makes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import ArgMax, DataflowGraph, Integers
from hw.lowering.bring import Bytes, take_in
from hw.lowering.session import finn_session
from hw.lowering.streamlining import load


@dataclass(frozen=True)
class Difference:
    """A network against its integer reference on some frames.

    Attributes:
        frames: how many were compared.
        agreement: the share of frames with the same class.
        largest_error: of any logit, after `scale` and `offset`; None where the reference gives labels only.
        scale, offset: by which the reference's integers come nearest to the network's logits.
    """

    frames: int
    agreement: float
    largest_error: float | None = None
    scale: float | None = None
    offset: float | None = None


def difference(
    qonnx: Path, graph: DataflowGraph, frames: NDArray[np.uint8], *, given: Bytes, log: Path
) -> Difference:
    """The network as it came, executed by qonnx, against a dataflow graph of it.

    Raises `ModelFileError` for a file that is no network.
    """
    logits = execute_given(qonnx, frames, given=given, log=log)
    outputs = graph.execute(frames.astype(np.int64))
    if isinstance(graph.layers[-1], ArgMax):
        return Difference(len(frames), float(np.mean(logits.argmax(axis=1) == outputs[:, 0])))
    return between(logits, outputs)


def between(logits: NDArray[np.floating[Any]], integers: Integers) -> Difference:
    """A network's logits against the integers of its reference, both (n, classes)."""
    agreement = float(np.mean(logits.argmax(axis=1) == integers.argmax(axis=1)))
    columns = np.stack([integers.reshape(-1), np.ones(integers.size)], axis=1)
    (scale, offset), *_ = np.linalg.lstsq(columns, logits.reshape(-1), rcond=None)
    largest = np.abs(scale * integers + offset - logits).max()
    return Difference(len(logits), agreement, float(largest), float(scale), float(offset))


def execute_given(qonnx: Path, frames: NDArray[np.uint8], *, given: Bytes, log: Path) -> NDArray[np.float64]:
    """The logits (n, classes) of the network as it came, executed by qonnx.

    Raises `ModelFileError` for a file that is no network.
    """
    from qonnx.core.onnx_exec import execute_onnx

    with finn_session(log):
        model = take_in(load(qonnx), given)
        entry, output = model.graph.input[0].name, model.graph.output[0].name
        shape = model.get_tensor_shape(entry)
        feeds = ({entry: frame.reshape(shape).astype(np.float32)} for frame in frames)
        return np.array([execute_onnx(model, feed)[output].reshape(-1) for feed in feeds], np.float64)
