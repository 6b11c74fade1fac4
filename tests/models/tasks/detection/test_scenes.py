"""Scenes: the same from the same seed, objects where their boxes are, and refusals."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from common.errors import ConfigError, DataError
from models.data import Split
from models.tasks.detection.boxes import overlaps
from models.tasks.detection.scenes import NONE, OVERLAP, SceneConfig, Scenes, make_scenes, resized

SHAPE = (8, 8, 1)


def digits():
    found = load_digits()
    return Split(found.data.astype(np.uint8), found.target.astype(np.int64))


def test_the_seed_tells_all():
    config = SceneConfig.of(SHAPE)
    first, again, other = (make_scenes(digits(), SHAPE, 10, config, 12, seed) for seed in (3, 3, 4))
    assert first.x.dtype == np.uint8 and first.x.shape == (12, 24 * 24) and first.shape == (24, 24, 1)
    for name in ("x", "labels", "boxes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.x != other.x).any()
    # On every machine, whatever its arithmetic: these bytes.
    digest = hashlib.sha256(first.x.tobytes() + first.labels.tobytes() + first.boxes.tobytes())
    assert digest.hexdigest()[:16] == "58fc77d89dcb1aa2"


def test_objects_are_in_their_boxes():
    config = SceneConfig(side=30, smallest=8, largest=14, most=3, noise=0)
    made = make_scenes(digits(), SHAPE, 10, config, 60, 0)
    pictures = made.x.reshape(60, 30, 30)
    counts = (made.labels != NONE).sum(axis=1)
    assert counts.min() == 1 and counts.max() == 3
    assert set(made.labels[made.labels != NONE].tolist()) == set(range(10))
    for picture, labels, boxes in zip(pictures, made.labels, made.boxes, strict=True):
        objects = boxes[labels != NONE]
        assert (objects[:, 2:] > objects[:, :2]).all() and objects.min() >= 0 and objects.max() <= 30
        outside = picture.copy()
        for left, top, right, bottom in objects:
            outside[top:bottom, left:right] = 0
        assert outside.max() <= 255 // 4  # dimmer than what counts as an object
        shared = overlaps(objects, objects) - np.eye(len(objects))
        assert shared.max() <= OVERLAP


def test_boxes_are_tight():
    config = SceneConfig(side=20, smallest=8, largest=14, most=1, noise=0)
    made = make_scenes(digits(), SHAPE, 10, config, 60, 0)
    for picture, (box,) in zip(made.x.reshape(60, 20, 20), made.boxes, strict=True):
        bright = picture.astype(int) * 4 > picture.max()
        rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_one_object_alone_is_its_picture():
    picture = np.zeros((1, 16), np.uint8)
    picture[0, [5, 6]] = 10, 20
    config = SceneConfig(side=4, smallest=4, largest=4, most=1, noise=0)
    made = make_scenes(Split(picture, np.array([1])), (4, 4, 1), 2, config, 1, 0)
    np.testing.assert_array_equal(made.x[0], picture[0].astype(int) * 255 // 20)
    assert made.labels.tolist() == [[1]] and made.boxes.tolist() == [[[1, 1, 3, 2]]]


def test_resizing_by_hand():
    row = np.array([[[0], [256]]])
    assert resized(np.repeat(row, 2, axis=0), 4)[0, :, 0].tolist() == [0, 64, 192, 256]
    assert resized(np.repeat(row, 4, axis=1).repeat(8, axis=0), 2)[0, :, 0].tolist() == [0, 256]
    same = np.random.default_rng(0).integers(0, 256, (5, 5, 3))
    np.testing.assert_array_equal(resized(same, 5), same)


def test_colours_stay():
    x = np.random.default_rng(0).integers(0, 256, (5, 12 * 12 * 3)).astype(np.uint8)
    made = make_scenes(Split(x, np.zeros(5, np.int64)), (12, 12, 3), 1, SceneConfig.of((12, 12, 3)), 4, 0)
    assert made.shape == (24, 24, 3) and made.x.shape == (4, 24 * 24 * 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"side": 11}, r"scenes: 11 pixels a side are too small for objects of 12; give larger"),
        ({"smallest": 3}, r"objects of 3 to 12 pixels; give at least 4"),
        ({"smallest": 13}, r"objects of 13 to 12"),
        ({"most": 0}, r"0 objects, noise 32; give at least 1"),
        ({"noise": 256}, r"noise 256"),
    ],
)
def test_refuses_sizes(bad, message):
    with pytest.raises(ConfigError, match=message):
        SceneConfig(**({"side": 24, "smallest": 8, "largest": 12} | bad))


def test_refuses_samples():
    config, blank = SceneConfig.of(SHAPE), Split(np.zeros((3, 64), np.uint8), np.zeros(3, np.int64))
    for shape in ((64,), (64, 1, 1)):
        with pytest.raises(ConfigError, match="give a build whose samples are pictures"):
            make_scenes(blank, shape, 10, config, 1, 0)
    with pytest.raises(ConfigError, match="0 are wanted"):
        make_scenes(blank, SHAPE, 10, config, 0, 0)
    with pytest.raises(DataError, match="all pictures are dark"):
        make_scenes(blank, SHAPE, 10, config, 1, 0)
    for classes in (0, 9):
        with pytest.raises(DataError, match="classes"):
            make_scenes(digits(), SHAPE, classes, config, 20, 0)
    with pytest.raises(DataError, match="labels -2"):
        Scenes(np.zeros((1, 4), np.uint8), np.array([[-2]]), np.zeros((1, 1, 4), np.int64), (2, 2, 1), 3)
