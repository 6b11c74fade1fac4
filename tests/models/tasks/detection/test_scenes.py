"""Scenes: the same from the same seed, objects where their boxes are, and refusals."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from common.errors import ConfigError, DataError
from models.data import Split
from models.tasks.detection.boxes import overlaps
from models.tasks.detection.scenes import NONE, OVERLAP, SceneConfig, make_scenes, resized

SHAPE = (8, 8, 1)


def digits():
    found = load_digits()
    return Split(found.data.astype(np.uint8), found.target.astype(np.int64))


def test_the_seed_tells_all():
    config = SceneConfig()
    first, again, other = (make_scenes(digits(), SHAPE, config, 12, seed) for seed in (3, 3, 4))
    assert first.x.dtype == np.uint8 and first.x.shape == (12, 24 * 24)
    for name in ("x", "y"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.x != other.x).any()
    # On every machine, whatever its arithmetic: these bytes.
    digest = hashlib.sha256(first.x.tobytes() + first.y[..., 0].tobytes() + first.y[..., 1:].tobytes())
    assert digest.hexdigest()[:16] == "58fc77d89dcb1aa2"


def test_objects_are_in_their_boxes():
    config = SceneConfig(side=30, smallest=8, largest=14, most=3, noise=0)
    made = make_scenes(digits(), SHAPE, config, 60, 0)
    images, all_labels, all_boxes = made.x.reshape(60, 30, 30), made.y[..., 0], made.y[..., 1:]
    counts = (all_labels != NONE).sum(axis=1)
    assert counts.min() == 1 and counts.max() == 3
    assert set(all_labels[all_labels != NONE].tolist()) == set(range(10))
    for image, labels, boxes in zip(images, all_labels, all_boxes, strict=True):
        objects = boxes[labels != NONE]
        assert (objects[:, 2:] > objects[:, :2]).all() and objects.min() >= 0 and objects.max() <= 30
        outside = image.copy()
        for left, top, right, bottom in objects:
            outside[top:bottom, left:right] = 0
        assert outside.max() <= 255 // 4  # dimmer than what counts as an object
        shared = overlaps(objects, objects) - np.eye(len(objects))
        assert shared.max() <= OVERLAP


def test_boxes_are_tight():
    config = SceneConfig(side=20, smallest=8, largest=14, most=1, noise=0)
    made = make_scenes(digits(), SHAPE, config, 60, 0)
    for image, (box,) in zip(made.x.reshape(60, 20, 20), made.y[..., 1:], strict=True):
        bright = image.astype(int) * 4 > image.max()
        rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_one_object_alone_is_its_image():
    image = np.zeros((1, 16), np.uint8)
    image[0, [5, 6]] = 10, 20
    config = SceneConfig(side=4, smallest=4, largest=4, most=1, noise=0)
    made = make_scenes(Split(image, np.array([1])), (4, 4, 1), config, 1, 0)
    np.testing.assert_array_equal(made.x[0], image[0].astype(int) * 255 // 20)
    assert made.y.tolist() == [[[1, 1, 1, 3, 2]]]


def test_resizing_by_hand():
    row = np.array([[[0], [256]]])
    assert resized(np.repeat(row, 2, axis=0), 4)[0, :, 0].tolist() == [0, 64, 192, 256]
    assert resized(np.repeat(row, 4, axis=1).repeat(8, axis=0), 2)[0, :, 0].tolist() == [0, 256]
    same = np.random.default_rng(0).integers(0, 256, (5, 5, 3))
    np.testing.assert_array_equal(resized(same, 5), same)


def test_colours_stay():
    x = np.random.default_rng(0).integers(0, 256, (5, 12 * 12 * 3)).astype(np.uint8)
    made = make_scenes(Split(x, np.zeros(5, np.int64)), (12, 12, 3), SceneConfig(), 4, 0)
    assert made.x.shape == (4, 24 * 24 * 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"side": 11}, r"task: side is 11, too small for objects of 12 pixels; give larger"),
        ({"smallest": 3}, r"task: smallest is 3; give at least 4, up to 1024"),
        ({"smallest": 13}, r"smallest is 13, largest 12"),
        ({"most": 0}, r"task: most is 0; give at least 1"),
        ({"noise": 256}, r"task: noise is 256"),
    ],
)
def test_refuses_sizes(bad, message):
    with pytest.raises(ConfigError, match=message):
        SceneConfig(**({"side": 24, "smallest": 8, "largest": 12} | bad))


def test_refuses_samples():
    config, blank = SceneConfig(), Split(np.zeros((3, 64), np.uint8), np.zeros(3, np.int64))
    for shape in ((64,), (64, 1, 1)):
        with pytest.raises(ConfigError, match="composes scenes of images; samples of"):
            make_scenes(blank, shape, config, 1, 0)
    with pytest.raises(DataError, match="all images are dark"):
        make_scenes(blank, SHAPE, config, 1, 0)
