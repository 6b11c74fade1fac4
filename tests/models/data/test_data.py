from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, DataError
from models import data
from models.data.splitting import stratified
from models.tensorfile import write_tensors
from tests.models.networks import toy_dataset

DIGITS = data.DataSource("digits", test_fraction=0.2, validation_fraction=0.2)


def test_digits_are_split_by_seed_and_stratified():
    first, again, other = (data.load_source(DIGITS, seed) for seed in (1, 1, 2))
    assert (len(first.train), len(first.validation), len(first.test)) == (1149, 288, 360)
    for part in data.SPLITS:
        np.testing.assert_array_equal(getattr(first, part).x, getattr(again, part).x)
        counts = np.bincount(getattr(first, part).y, minlength=10) / len(getattr(first, part))
        assert np.abs(counts - 0.1).max() < 0.01
    assert not np.array_equal(first.test.x, other.test.x)
    assert first.train.x.dtype == np.uint8 and first.train.x.max() == 16
    together = np.concatenate([getattr(first, part).x for part in data.SPLITS])
    assert len(together) == 1797 and len(np.unique(together, axis=0)) == 1797


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "imagenet"}, r"'imagenet'; known: basic-motions, .*digits"),
        ({"test_fraction": 1.0}, "data.test_fraction: 1.0 is no part"),
        ({"validation_fraction": 0.0}, "data.validation_fraction: 0.0 is no part"),
        ({"train_samples": 0}, "data.train_samples: 0 samples"),
        ({"path": Path("x")}, "digits comes with a library, and x is not read"),
        ({"name": "npz"}, "npz is read from files; give their path"),
        ({"layout": "nhwc"}, "data.layout: digits has its axes in a known order; remove it"),
    ],
)
def test_a_source_that_cannot_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(DIGITS, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_samples": 1438}, "data.train_samples: 1438 asked for, 1437 there; give less"),
        ({"test_samples": 361}, "data.test_samples: 361 asked for, 360 there; give less"),
        ({"test_fraction": None}, "data.test_fraction: digits missing, and there is no test part"),
    ],
)
def test_more_than_there_is(changes, message):
    with pytest.raises(ConfigError, match=message):
        data.load_source(replace(DIGITS, **changes), 0)


def test_subsets_are_stratified_and_independent_of_each_other():
    few = data.load_source(replace(DIGITS, train_samples=100, test_samples=50), 1)
    assert (len(few.train), len(few.validation), len(few.test)) == (80, 20, 50)
    np.testing.assert_array_equal(np.bincount(few.test.y), np.full(10, 5))
    whole = data.load_source(DIGITS, 1)
    np.testing.assert_array_equal(
        data.load_source(replace(DIGITS, test_samples=50), 1).train.x, whole.train.x
    )
    np.testing.assert_array_equal(
        data.load_source(replace(DIGITS, train_samples=100), 1).test.x, whole.test.x
    )
    pictures = {row.tobytes() for row in whole.test.x}
    assert all(row.tobytes() in pictures for row in few.test.x)
    with pytest.raises(DataError, match="digits: class 0 of 10 has no training samples; give"):
        data.load_source(replace(DIGITS, train_samples=5), 1)


@given(st.integers(0, 1000), st.lists(st.integers(1, 30), min_size=1, max_size=5), st.floats(0.01, 0.99))
def test_a_stratified_split_takes_each_class_by_its_share(seed, counts, fraction):
    labels = np.repeat(np.arange(len(counts)), counts)
    count = int(np.ceil(fraction * len(labels)))
    kept, taken = stratified(labels, np.arange(len(labels)), count, np.random.default_rng(seed))
    assert len(taken) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, taken])), np.arange(len(labels)))
    shares = np.bincount(labels[taken], minlength=len(counts)) - count / len(labels) * np.array(counts)
    assert np.abs(shares).max() <= 1 + 1e-9


def test_scaling_is_fixed_on_the_training_split_and_saturates_elsewhere(tmp_path):
    x = np.linspace(-1, 1, 80)[:, None, None, None] * np.array([1.0, 10.0])
    y = np.arange(80) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=3 * x, y_test=y)
    source = data.DataSource("npz", tmp_path / "a.npz", validation_fraction=0.25, layout="nhwc")
    dataset = data.load_source(source, 0)
    assert dataset.input_shape == (1, 1, 2) and dataset.scaling is not None
    assert dataset.train.x.min() == 0 and dataset.train.x.max() == 255
    offset, scale = np.array(dataset.scaling.offset), np.array(dataset.scaling.scale)
    kept = np.sort(offset + scale * dataset.train.x, axis=0)
    known = x.reshape(80, 2)
    nearest = np.abs(kept[:, None, :] - known).min(axis=1)
    assert (nearest <= scale / 2 + 1e-9).all()
    expected = np.rint((3 * known - offset) / scale).clip(0, 255)
    np.testing.assert_array_equal(dataset.test.x, expected)
    assert (dataset.test.x[0] == 0).all() and (dataset.test.x[-1] == 255).all()

    data.save(dataset, tmp_path / "a.safetensors")
    assert data.load(tmp_path / "a.safetensors").scaling == dataset.scaling


def test_a_channel_that_never_changes_is_zero():
    scaling = data.Scaling.fit(np.array([[2.0, 1.0], [2.0, 3.0]]))
    assert scaling == data.Scaling((2.0, 1.0), (1.0, 2 / 255))
    np.testing.assert_array_equal(scaling.apply(np.array([[2.0, 3.0]])), [[0, 255]])


def test_saved_and_loaded(tmp_path):
    dataset = toy_dataset()
    for name in ("a", "b"):
        data.save(dataset, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = data.load(tmp_path / "a")
    assert (loaded.name, loaded.classes, loaded.input_shape) == ("toy", 3, (4, 4, 1))
    assert loaded.scaling is None
    for part in data.SPLITS:
        np.testing.assert_array_equal(getattr(loaded, part).x, getattr(dataset, part).x)
        np.testing.assert_array_equal(getattr(loaded, part).y, getattr(dataset, part).y)


def test_truncated_anywhere(tmp_path):
    data.save(toy_dataset(samples=8), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"cut: .* make it again"):
            data.load(tmp_path / "cut")
    with pytest.raises(DataError, match="absent"):
        data.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train.y": np.full(8, 3)}, "train: sample 0 has label 3; labels are 0 to 2"),
        ({"train.y": np.full(8, -1)}, "label -1"),
        ({"test.y": np.zeros(7, np.int64)}, "test: 8 samples but labels of shape"),
        ({"test.x": np.zeros((8, 15), np.uint8)}, "test: x has shape"),
        ({"validation.x": np.zeros((8, 16), np.float32)}, "validation: x is float32"),
        ({"validation.y": np.zeros(8, np.int32)}, "y int32"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, change, message):
    tensors = {f"{part}.x": np.zeros((8, 16), np.uint8) for part in data.SPLITS}
    tensors |= {f"{part}.y": np.zeros(8, np.int64) for part in data.SPLITS}
    header = {"name": "toy", "classes": 3, "input_shape": [4, 4, 1]}
    write_tensors(tmp_path / "file", data.KIND, header, tensors | change)
    with pytest.raises(DataError, match=message):
        data.load(tmp_path / "file")


def test_missing_arrays_and_header(tmp_path):
    write_tensors(tmp_path / "file", data.KIND, {"name": "toy"}, {"x": np.zeros(1)})
    with pytest.raises(DataError, match="classes"):
        data.load(tmp_path / "file")
    write_tensors(tmp_path / "file", "checkpoint", {}, {"x": np.zeros(1)})
    with pytest.raises(DataError, match="is not a data set file"):
        data.load(tmp_path / "file")
