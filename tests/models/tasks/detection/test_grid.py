"""Cells and boxes: there and back, by hand, and what a perfect network would score."""

import numpy as np
import pytest

from common.errors import ConfigError
from models.tasks.detection import Detection
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import BACKGROUND, Grid
from models.tasks.detection.scenes import NONE, SceneConfig, make_scenes

from .test_scenes import SHAPE, digits


def test_a_cell_by_hand():
    grid = Grid(side=16, stride=4, anchor=8.0)
    boxes = np.array([[[5, 9, 9, 15], [0, 0, 8, 8], [0, 0, 0, 0]]])
    labels = np.array([[[2], [0], [NONE]]])
    targets = grid.assign(np.concatenate([labels, boxes], axis=2))
    classes, encoded = targets[..., 0], targets[..., 1:]
    # Centre (7, 12), of cell (row 3, column 1), whose own is (6, 14); centre (4, 4) of cell (1, 1) at (6, 6).
    wanted = np.full(16, BACKGROUND)
    wanted[[13, 5]] = 3, 1
    np.testing.assert_array_equal(classes, [wanted])
    np.testing.assert_allclose(encoded[0, 13], [0.25, -0.5, np.log(4 / 8), np.log(6 / 8)], rtol=1e-6)
    np.testing.assert_allclose(encoded[0, 5], [-0.5, -0.5, 0, 0])
    assert not encoded[0, wanted == BACKGROUND].any()
    np.testing.assert_allclose(grid.boxes(encoded)[0, [13, 5]], boxes[0, :2], atol=1e-5)


def test_of_two_in_a_cell_the_smaller_stays():
    grid = Grid(side=8, stride=8, anchor=4.0)
    boxes = np.array([[[3, 3, 5, 5], [0, 0, 8, 8]], [[0, 0, 8, 8], [3, 3, 5, 5]]])
    objects = np.concatenate([np.array([[[0], [1]], [[1], [0]]]), boxes], axis=2)
    assert grid.assign(objects)[..., 0].tolist() == [[1], [1]]


@pytest.mark.parametrize("stride", [2, 4])
def test_a_perfect_network_scores_one(stride):
    objects = make_scenes(digits(), SHAPE, SceneConfig(), 40, 1).y
    grid = Detection(stride=stride).grid
    targets = grid.assign(objects)
    classes, boxes = targets[..., 0].astype(int), targets[..., 1:]
    assert (classes != BACKGROUND).sum() == (objects[..., 0] != NONE).sum()
    logits = 50.0 * np.eye(11)[classes]
    outputs = np.concatenate([logits, boxes], axis=2).reshape(40, -1)
    assert mean_average_precision(grid.detections(outputs), objects) == 1
    blurred = np.concatenate([logits, boxes + 1.0], axis=2).reshape(40, -1)
    assert mean_average_precision(grid.detections(blurred), objects) < 0.2


def test_boxes_stay_in_the_scene_and_finite():
    grid = Grid(side=16, stride=4, anchor=8.0)
    boxes = grid.boxes(np.full((1, 16, 4), 1e9))
    assert np.isfinite(boxes).all() and boxes.min() >= 0 and boxes.max() <= 16


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"side": 30}, "task: side 30 is no multiple of stride 4"),
        ({"side": 2}, "side 2 is no multiple"),
    ],
)
def test_refuses(bad, message):
    with pytest.raises(ConfigError, match=message):
        Grid(**({"side": 32, "stride": 4, "anchor": 8.0} | bad))
