"""The script for the board: its packing against FINN's own, its batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.host import pynq_run


@pytest.fixture(scope="module")
def finn():
    """FINN's packing and types."""
    from finn.util import data_packing
    from qonnx.core.datatype import DataType

    return data_packing, DataType


@pytest.mark.parametrize("kind", ["INT17", "INT8", "INT2", "UINT4", "UINT16", "BINARY", "INT24"])
@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_outputs_are_unpacked_as_finn_packs_them(finn, kind, lanes):
    packing, types = finn
    low, high = int(types[kind].min()), int(types[kind].max())
    values = np.random.default_rng(lanes).integers(low, high + 1, (6, 3, lanes))
    values[0], values[1] = low, high
    packed = packing.finnpy_to_packed_bytearray(
        values.astype(np.float32), types[kind], reverse_endian=True, reverse_inner=True
    )
    found = pynq_run.unpack(packed, f"DataType['{kind}']", [1, 3, lanes])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, values)


def test_frames_of_bytes_are_packed_as_they_are(finn):
    packing, types = finn
    frames = np.random.default_rng(0).integers(0, 256, (4, 2, 8), dtype=np.uint8)
    packed = packing.finnpy_to_packed_bytearray(
        frames.astype(np.float32), types["UINT8"], reverse_endian=True, reverse_inner=True
    )
    np.testing.assert_array_equal(packed, frames)


@pytest.mark.parametrize("kind", ["BIPOLAR", "FLOAT32", "FIXED<8,4>", "TERNARY"])
def test_types_that_are_no_integers_are_refused(kind):
    with pytest.raises(ValueError, match="not a type of integers"):
        pynq_run.integer_type(f"DataType['{kind}']")


class Counting:
    """An accelerator that adds up a frame, and takes exactly as many frames as it was told."""

    def __init__(self):
        self.batch_size, self.batches = 1, []

    def execute(self, frames):
        assert frames.shape == (self.batch_size, 2, 2)
        self.batches.append(len(frames))
        return frames.sum(axis=(1, 2)).astype(np.float32)

    def execute_on_buffers(self):
        self.batches.append(-self.batch_size)


@given(st.integers(1, 40), st.integers(1, 12))
def test_every_frame_is_in_one_batch(count, batch):
    accelerator, frames = Counting(), np.arange(count * 4, dtype=np.uint8).reshape(count, 4)
    outputs, seconds = pynq_run.infer(accelerator, frames, [1, 2, 2], batch)
    np.testing.assert_array_equal(outputs[:, 0], frames.astype(int).sum(axis=1))
    assert outputs.dtype == np.int64 and outputs.shape == (count, 1) and seconds > 0
    assert sum(accelerator.batches) == count and max(accelerator.batches) <= batch


def test_outputs_must_be_whole():
    class Half(Counting):
        def execute(self, frames):
            return np.full(len(frames), 0.5)

    with pytest.raises(ValueError, match="not whole numbers"):
        pynq_run.infer(Half(), np.zeros((3, 4), np.uint8), [1, 2, 2], 2)


def test_pace_is_of_full_buffers_and_latency_of_one_frame():
    accelerator = Counting()
    measured = pynq_run.measure(accelerator, 50)
    assert accelerator.batches == [-50] * pynq_run.ROUNDS + [-1] * pynq_run.ROUNDS
    assert measured["batch"] == 50
    assert measured["frames_per_second"] > 0 and measured["latency_microseconds"] > 0
