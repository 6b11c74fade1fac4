"""Imported networks against qonnx's execution of them, by value, and their way through FINN."""

from pathlib import Path

import numpy as np
from qonnx.core.onnx_exec import execute_onnx

from hw.dataflow import DataflowGraph
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.imported import ByteValues, Integral, integral
from hw.imported.file import load
from tests.hw.foreign import Foreign

SIXTEENTHS = ByteValues(1 / 16, -4.0)


def random_frames(shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
    """ByteValues (count, *shape): dark, bright, and at random."""
    frames = np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)
    frames[0], frames[1] = 0, 255
    return frames


def integers_of(made: Integral, frames: np.ndarray) -> np.ndarray:
    """What the integer network gives for frames of the network, (n, outputs)."""
    core = made.layout.to_core(frames).astype(np.float32)
    return np.array([execute_onnx(made.model, {"x": each[None]})["logits"].reshape(-1) for each in core])


def values_of(made: Integral, integers: np.ndarray) -> np.ndarray:
    """The floats that the integers at the end stand for."""
    return (made.meaning.scale * integers + made.meaning.offset).astype(np.float32)


def floats_of(path: Path, given: ByteValues, frames: np.ndarray) -> np.ndarray:
    """What qonnx makes of the network itself, (n, outputs)."""
    model = load(path)
    name, end = model.graph.input[0].name, model.graph.output[0].name
    return np.array(
        [execute_onnx(model, {name: each[None]})[end].reshape(-1) for each in given.floats(frames)]
    )


def check_values(network: Foreign, path: Path, given: ByteValues = SIXTEENTHS, count: int = 24) -> Integral:
    """The integers, scaled, are the network's outputs, to the last bit; not all of them the same."""
    network.save(path)
    made = integral(load(path), given)
    frames = random_frames(made.layout.shape, count)
    integers, wanted = integers_of(made, frames), floats_of(path, given, frames)
    assert made.error == 0 and np.ptp(integers, axis=0).any()
    np.testing.assert_array_equal(values_of(made, integers), wanted)
    return made


def check_lowered(
    made: Integral, path: Path, given: ByteValues = SIXTEENTHS, count: int = 24
) -> DataflowGraph:
    """FINN's graph, read, gives the same integers, up to one step and offset for all that it counts by."""
    log = path.with_suffix(".log")
    graph = read(lower(path, folding=Folding(target_cycles=2000), label=False, log=log, values=given))
    frames = random_frames(made.layout.shape, count)
    found = graph.execute(made.layout.to_core(frames).reshape(count, -1).astype(np.int64))
    wanted = integers_of(made, frames)
    step = np.ptp(wanted) / np.ptp(found)
    np.testing.assert_array_equal(step * (found - found.min()), wanted - wanted.min())
    return graph
