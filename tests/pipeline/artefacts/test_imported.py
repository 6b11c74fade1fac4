"""Networks made elsewhere: their frames in order, bytes for floats, recorded tensors."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import DataError, StoreError
from hw.imported import ByteValues, Layout
from hw.interface import Affine
from models.data import Dataset, Scaling, Split, save
from pipeline.artefacts.imported import Entry, Recorded, Trial, classified, load_trial

RNG = np.random.default_rng(0)


def entry(*shape: int, scale: float | tuple[float, ...] = 1.0, outputs: int = 2, end: str = "") -> Entry:
    return Entry(Layout(shape), ByteValues(scale, -1.0), outputs, end)


def frames(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "given", [ByteValues(), ByteValues(0.5, (0.0, 1.0, -1.0)), ByteValues((1.0, 2.0, 3.0), 4.0)]
)
def test_entry_is_kept(given: ByteValues, tmp_path: Path) -> None:
    made = Entry(Layout((3, 8, 8), (("transpose", (1, 2, 0)),)), given, 5, "Softmax", "hwc")
    made.save(tmp_path / "network.json")
    assert Entry.load(tmp_path / "network.json") == made


def test_entry_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"shape": 3}')
    with pytest.raises(StoreError, match=r"network\.json: not of a network"):
        Entry.load(tmp_path / "network.json")


def test_entry_says_what_data_have_to_be() -> None:
    recorded = Recorded(frames(2, 3, 8, 8), np.zeros((2, 5)))
    made = Entry(Layout((3, 8, 8)), ByteValues(0.5, (0.0, 1.0, -1.0)), 5, flattened="chw").contract(recorded)
    assert (made.shape, made.flattened) == ((3, 8, 8), "chw")
    assert made.scaling == Scaling((0.0, 1.0, -1.0), (0.5,))
    assert made.recorded is recorded.inputs and entry(4).contract().recorded is None


def test_recorded_tensors_are_kept(tmp_path: Path) -> None:
    x, outputs = frames(4, 3, 5, 5), RNG.normal(size=(4, 7))
    np.savez(tmp_path / "r.npz", inputs=x.astype(np.float32) - 1, outputs=outputs)
    read = Recorded.read(tmp_path / "r.npz", entry(3, 5, 5, outputs=7))
    read.save(tmp_path / "r.safetensors")
    again = Recorded.load(tmp_path / "r.safetensors")
    np.testing.assert_array_equal(again.inputs, x)
    np.testing.assert_array_equal(again.outputs, outputs)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.zeros((4, 6))}, "holds inputs of inputs and outputs; record both"),
        ({"inputs": np.zeros((4, 6)), "outputs": np.zeros((3, 2))}, r"give \(n, ...\) and \(n, classes\)"),
        ({"inputs": np.zeros((4, 6)), "outputs": np.zeros(4)}, r"give \(n, ...\) and \(n, classes\)"),
        ({"inputs": np.full((4, 6), "a"), "outputs": np.zeros((4, 2))}, "not numbers; give plain arrays"),
        ({"inputs": np.zeros((4, 7)), "outputs": np.zeros((4, 2))}, r"the network takes \(6,\)"),
        (
            {"inputs": np.zeros((4, 2, 3)), "outputs": np.zeros((4, 2))},
            r"the network takes \(6,\), channels f",
        ),
        (
            {"inputs": np.zeros((4, 6)), "outputs": np.zeros((4, 3))},
            r"outputs of \(4, 3\); the network gives 2",
        ),
        (
            {"inputs": np.zeros((4, 6)), "outputs": np.full((4, 2), np.nan)},
            "the network gives 2, finite ones",
        ),
    ],
    ids=["one missing", "lengths", "labels", "text", "shape", "not flat", "outputs", "no numbers"],
)
def test_recorded_tensors_that_do_not_fit(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "r.npz", **arrays)
    with pytest.raises(DataError, match=message):
        Recorded.read(tmp_path / "r.npz", entry(6))


def test_recorded_frames_are_in_the_order_of_the_network(tmp_path: Path) -> None:
    x = frames(4, 3, 5, 5)
    np.savez(tmp_path / "r.npz", inputs=np.moveaxis(x, 1, -1), outputs=np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"takes \(3, 5, 5\), channels first: record what it took"):
        Recorded.read(tmp_path / "r.npz", entry(3, 5, 5))
    np.savez(tmp_path / "r.npz", inputs=x[:, :1, :, :].reshape(4, 5, 5), outputs=np.zeros((4, 2)))
    read = Recorded.read(tmp_path / "r.npz", entry(1, 5, 5))
    np.testing.assert_array_equal(read.inputs, x[:, :1])


def test_recorded_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_text("no")
    with pytest.raises(DataError, match=r"no \.npz file; write it with numpy.savez"):
        Recorded.read(tmp_path / "r.npz", entry(6))


def test_frames_as_the_core_takes_them() -> None:
    x = frames(2, 4, 5, 3)
    part = Split(x.reshape(2, -1), np.array([1, 0]))
    trial = Trial(entry(3, 4, 5), Dataset("pictures", 2, (4, 5, 3), part, part, part), None)
    np.testing.assert_array_equal(trial.core_frames, x)
    np.testing.assert_array_equal(trial.frames, x.transpose(0, 3, 1, 2))
    flat = Entry(Layout((3, 4, 5), (("reshape", (60,)),)), ByteValues(), 2)
    trial = Trial(flat, trial.data, None)
    np.testing.assert_array_equal(trial.core_frames, x.transpose(0, 3, 1, 2).reshape(2, 60))
    assert trial.labels is not None and trial.labels.tolist() == [1, 0]


@pytest.mark.parametrize("end", ["", "Sigmoid"])
def test_difference_from_what_was_recorded(end: str) -> None:
    integers = np.arange(-12, 12).reshape(6, 4)  # sigmoids that do not saturate
    outputs = integers * 0.25 + 3
    given = 1 / (1 + np.exp(-outputs)) if end else outputs
    recorded = Recorded(frames(6, 8), given)
    trial = Trial(entry(8, end=end), None, recorded)
    found = trial.recorded_difference(integers, Affine(0.25, 3.0))
    assert (found.frames, found.agreement, found.apart) == (6, 1.0, 0.0)
    assert found.scale == 0.25 and found.largest_error == pytest.approx(0, abs=1e-6)
    assert trial.recorded_difference(integers, Affine(0.25, 3.5)).apart == 1
    np.testing.assert_array_equal(trial.core_frames, recorded.inputs)
    assert trial.labels is None


def toy(shape: tuple[int, ...], labels: list[int], scaling: Scaling | None = None) -> Dataset:
    part = Split(frames(len(labels), *shape).reshape(len(labels), -1), np.array(labels))
    return Dataset("toy", max(labels) + 1, shape, part, part, part, scaling)


@pytest.mark.parametrize(("outputs", "most"), [(1, 1), (2, 1), (5, 4)])
def test_labels_are_classes_of_the_network(outputs: int, most: int) -> None:
    assert Trial(entry(8, outputs=outputs), toy((8,), [0, most]), None).labels is not None
    with pytest.raises(DataError, match=rf"labels up to {most + 1}; the network gives {max(2, outputs)} cl"):
        _ = Trial(entry(8, outputs=outputs), toy((8,), [0, most + 1]), None).labels


def test_class_of_one_output_is_its_sign() -> None:
    assert classified(np.array([[-1.0], [0.0], [2.0]])).tolist() == [0, 0, 1]
    assert classified(np.array([[-1.0, 0.0], [2.0, 2.0]])).tolist() == [1, 0]


def test_data_of_other_bytes_than_the_network_takes(tmp_path: Path) -> None:
    made = entry(8, scale=0.5)
    made.save(tmp_path / "network.json")
    save(toy((8,), [0, 1], made.scaling), tmp_path / "data.safetensors")
    assert load_trial(tmp_path / "network.json", tmp_path / "data.safetensors", None).data is not None
    for other in (None, Scaling((0.0,), (0.5,))):
        save(toy((8,), [0, 1], other), tmp_path / "data.safetensors")
        with pytest.raises(DataError, match=r"its bytes do not stand for the floats of .*; build again"):
            load_trial(tmp_path / "network.json", tmp_path / "data.safetensors", None)
