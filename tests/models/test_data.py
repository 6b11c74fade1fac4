import numpy as np
import pytest

from models import data
from models.tensorfile import write_tensors
from pipeline.errors import ConfigError, DataError

from .networks import toy_dataset


def test_digits_are_split_by_seed_and_stratified():
    first, again, other = data.load_digits(1), data.load_digits(1), data.load_digits(2)
    assert (len(first.train), len(first.validation), len(first.test)) == (1149, 288, 360)
    for part in data.SPLITS:
        np.testing.assert_array_equal(getattr(first, part).x, getattr(again, part).x)
        counts = np.bincount(getattr(first, part).y, minlength=10) / len(getattr(first, part))
        assert np.abs(counts - 0.1).max() < 0.01
    assert not np.array_equal(first.test.x, other.test.x)
    assert first.train.x.dtype == np.uint8 and first.train.x.max() == 16
    together = np.concatenate([getattr(first, part).x for part in data.SPLITS])
    assert len(together) == 1797 and len(np.unique(together, axis=0)) == 1797


def test_unknown_name_and_fraction():
    with pytest.raises(ConfigError, match=r"'mnist'.*digits"):
        data.load_named("mnist", 0, 0.2, 0.2)
    with pytest.raises(ConfigError, match="test_fraction is 1"):
        data.load_named("digits", 0, 1.0, 0.2)


def test_saved_and_loaded(tmp_path):
    dataset = toy_dataset()
    for name in ("a", "b"):
        data.save(dataset, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = data.load(tmp_path / "a")
    assert (loaded.name, loaded.classes, loaded.input_shape) == ("toy", 3, (4, 4, 1))
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
