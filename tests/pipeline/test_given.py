"""Networks made elsewhere: their frames in order, bytes for floats, recorded tensors."""

from pathlib import Path

import numpy as np
import pytest

from hw.lowering import Bytes
from models.data import Dataset, Split
from pipeline.errors import DataError, StoreError
from pipeline.given import Entry, Recorded, Trial

RNG = np.random.default_rng(0)


def entry(*shape: int, scale: float | tuple[float, ...] = 1.0, normalized: bool = False) -> Entry:
    return Entry(shape, Bytes(scale, -1.0), normalized)


def frames(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("given", [Bytes(), Bytes(0.5, (0.0, 1.0, -1.0)), Bytes((1.0, 2.0, 3.0), 4.0)])
def test_entry_is_kept(given: Bytes, tmp_path: Path) -> None:
    made = Entry((3, 8, 8), given, True)
    made.save(tmp_path / "network.json")
    assert Entry.load(tmp_path / "network.json") == made


def test_entry_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"shape": 3}')
    with pytest.raises(StoreError, match=r"network\.json: not of a network"):
        Entry.load(tmp_path / "network.json")


@pytest.mark.parametrize(
    ("shape", "given", "axes"),
    [
        ((3, 4, 5), (4, 5, 3), (0, 3, 1, 2)),  # a picture
        ((3, 4, 5), (3, 4, 5), (0, 1, 2, 3)),
        ((3, 16), (16, 1, 3), (0, 3, 1, 2)),  # a series
        ((3, 16), (16, 3), (0, 2, 1)),
        ((1, 8, 8), (8, 8), (0, 1, 2)),
        ((64,), (8, 8, 1), (0, 1, 2, 3)),
    ],
)
def test_frames_in_the_order_of_the_network(
    shape: tuple[int, ...], given: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    x = frames(2, *given)
    np.testing.assert_array_equal(entry(*shape).ordered(x, "x"), x.transpose(axes).reshape(2, *shape))


@pytest.mark.parametrize(("shape", "given"), [((3, 4, 4), (48,)), ((64,), (8, 9)), ((1, 8, 8), (65,))])
def test_frames_of_another_shape(shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"x: frames of .*; the network takes "):
        entry(*shape).ordered(frames(2, *given), "x")


def test_bytes_of_floats() -> None:
    x, scales = frames(5, 3, 4, 4), (0.1, 1 / 255, 2.0)
    floats = (x * np.reshape(scales, (-1, 1, 1)) - 1.0).astype(np.float32)
    made = entry(3, 4, 4, scale=scales)
    np.testing.assert_array_equal(made.bytes_of(floats, "x"), x)
    np.testing.assert_array_equal(made.bytes_of(x, "x"), x)
    for wrong in (floats + 0.05, floats + 600, floats * np.nan):
        with pytest.raises(DataError, match=r"x: .* stands for no byte; correct network\.scale"):
            made.bytes_of(wrong, "x")


def test_recorded_tensors_are_kept(tmp_path: Path) -> None:
    x, outputs = frames(4, 3, 5, 5), RNG.normal(size=(4, 7))
    np.savez(tmp_path / "r.npz", inputs=x.astype(np.float32) - 1, outputs=outputs)
    read = Recorded.read(tmp_path / "r.npz", entry(3, 5, 5))
    read.save(tmp_path / "r.safetensors")
    again = Recorded.load(tmp_path / "r.safetensors")
    np.testing.assert_array_equal(again.inputs, x)
    np.testing.assert_array_equal(again.outputs, outputs)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.zeros((4, 6))}, "not an .npz file with inputs and outputs"),
        ({"inputs": np.zeros((4, 6)), "outputs": np.zeros((3, 2))}, r"give \(n, ...\) and \(n, classes\)"),
        ({"inputs": np.zeros((4, 6)), "outputs": np.zeros(4)}, r"give \(n, ...\) and \(n, classes\)"),
        ({"inputs": np.full((4, 6), "a"), "outputs": np.zeros((4, 2))}, "give floats"),
        ({"inputs": np.zeros((4, 7)), "outputs": np.zeros((4, 2))}, r"the network takes \(6,\)"),
    ],
    ids=["one missing", "lengths", "labels", "text", "shape"],
)
def test_recorded_tensors_that_do_not_fit(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "r.npz", **arrays)
    with pytest.raises(DataError, match=message):
        Recorded.read(tmp_path / "r.npz", entry(6))


def test_recorded_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_text("no")
    with pytest.raises(DataError, match="record again"):
        Recorded.read(tmp_path / "r.npz", entry(6))


def test_frames_as_the_core_takes_them() -> None:
    x = frames(2, 4, 5, 3)
    part = Split(x.reshape(2, -1), np.array([1, 0]))
    trial = Trial(entry(3, 4, 5), Dataset("pictures", 2, (4, 5, 3), part, part, part), None)
    np.testing.assert_array_equal(trial.frames((4, 5, 3)), x)
    np.testing.assert_array_equal(trial.frames((60,)), x.transpose(0, 3, 1, 2).reshape(2, 60))
    assert trial.labels is not None and trial.labels.tolist() == [1, 0]


@pytest.mark.parametrize("normalized", [False, True])
def test_difference_from_what_was_recorded(normalized: bool) -> None:
    integers = RNG.integers(-50, 50, (6, 4))
    outputs = integers * 0.25 + 3
    recorded = Recorded(frames(6, 8), outputs)
    trial = Trial(entry(8, normalized=normalized), None, recorded)
    found = trial.recorded_difference(integers)
    assert (found.frames, found.agreement) == (6, 1.0)
    if normalized:
        assert found.largest_error is None
    else:
        assert found.scale == pytest.approx(0.25) and found.largest_error == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(trial.frames((8,)), recorded.inputs)
    assert trial.labels is None
    with pytest.raises(DataError, match=r"outputs of \(6, 4\); the network gives \(6, 5\)"):
        trial.recorded_difference(np.zeros((6, 5), int))
