"""A network made elsewhere, as far as it is read without hardware, and its streamlined form executed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import Integers
from hw.lowering.bring import INVARIANT, Bytes, take_in
from hw.lowering.layers import scalar_end
from hw.lowering.session import finn_session
from hw.lowering.streamlining import load
from pipeline.errors import LoweringError


def entry(qonnx: Path, *, given: Bytes, log: Path) -> tuple[tuple[int, ...], int, str]:
    """The shape of a frame as the network takes it, how many outputs it gives, what hardware leaves out.

    The last is the operator behind its logits, or nothing.

    Raises:
        ModelFileError: the file is no network.
        LoweringError: not of one frame, its output never changes, or `given` has not as many numbers as the
            input has channels.
    """
    with finn_session(log):
        model = load(qonnx)
        shape = tuple(model.get_tensor_shape(model.graph.input[0].name) or ())[1:]
        last = model.find_producer(model.graph.output[0].name)
        end = last.op_type if last is not None and last.op_type in INVARIANT else ""
        for numbers in (given.scale, given.offset):
            if isinstance(numbers, tuple) and len(numbers) != (shape or (1,))[0]:
                raise LoweringError(
                    f"its input is {(1, *shape)}: {len(numbers)} numbers for what a byte stands for;"
                    " give one, or one for each channel"
                )
        taken = take_in(model, given)
        outputs = int(np.prod(taken.get_tensor_shape(taken.graph.output[0].name)))
        if outputs == 1 and end in ("Softmax", "LogSoftmax"):
            raise LoweringError(f"it ends in a {end} of one output, which never changes; export its logit")
    return shape, outputs, end


def execute_streamlined(model: Any, frames: NDArray[np.uint8], log: Path) -> Integers:
    """What the streamlined network (`streamlined`) gives before its last scale and offset, (n, outputs)."""
    from qonnx.core.onnx_exec import execute_onnx

    name, ends = model.graph.input[0].name, scalar_end(model)
    last = ends[-1].input[0] if ends else model.graph.output[0].name
    shape = model.get_tensor_shape(name)
    with finn_session(log):
        feeds = ({name: frame.reshape(shape).astype(np.float32)} for frame in frames)
        values = [execute_onnx(model, feed, return_full_exec_context=True)[last] for feed in feeds]
    return np.array(values).reshape(len(frames), -1).astype(np.int64)
