"""Cells and boxes: there and back, by hand, and what a perfect network would score."""

import numpy as np
import pytest

from common.errors import ConfigError
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import BACKGROUND, Grid
from models.tasks.detection.scenes import NONE, SceneConfig, Scenes, make_scenes

from .test_scenes import SHAPE, digits


def test_a_cell_by_hand():
    grid = Grid(side=16, stride=4, anchor=8.0, classes=3)
    boxes = np.array([[[5, 9, 9, 15], [0, 0, 8, 8], [0, 0, 0, 0]]])
    labels = np.array([[2, 0, NONE]])
    classes, encoded = grid.assign(Scenes(np.zeros((1, 256), np.uint8), labels, boxes, (16, 16, 1), 3))
    # Centre (7, 12), of cell (row 3, column 1), whose own is (6, 14); centre (4, 4) of cell (1, 1) at (6, 6).
    wanted = np.full(16, BACKGROUND)
    wanted[[13, 5]] = 3, 1
    np.testing.assert_array_equal(classes, [wanted])
    np.testing.assert_allclose(encoded[0, 13], [0.25, -0.5, np.log(4 / 8), np.log(6 / 8)], rtol=1e-6)
    np.testing.assert_allclose(encoded[0, 5], [-0.5, -0.5, 0, 0])
    assert not encoded[0, wanted == BACKGROUND].any()
    np.testing.assert_allclose(grid.boxes(encoded)[0, [13, 5]], boxes[0, :2], atol=1e-5)


def test_of_two_in_a_cell_the_smaller_stays():
    grid = Grid(side=8, stride=8, anchor=4.0, classes=2)
    boxes = np.array([[[3, 3, 5, 5], [0, 0, 8, 8]], [[0, 0, 8, 8], [3, 3, 5, 5]]])
    scenes = Scenes(np.zeros((2, 64), np.uint8), np.array([[0, 1], [1, 0]]), boxes, (8, 8, 1), 2)
    assert grid.assign(scenes)[0].tolist() == [[1], [1]]


@pytest.mark.parametrize("stride", [2, 4])
def test_a_perfect_network_scores_one(stride):
    config = SceneConfig.of(SHAPE)
    scenes = make_scenes(digits(), SHAPE, 10, config, 40, 1)
    grid = Grid.of(config, stride, 10)
    classes, boxes = grid.assign(scenes)
    assert (classes != BACKGROUND).sum() == (scenes.labels != NONE).sum()
    logits = 50.0 * np.eye(11)[classes]
    outputs = np.concatenate([logits, boxes], axis=2).reshape(40, -1)
    assert mean_average_precision(grid.detections(outputs), scenes) == 1
    blurred = np.concatenate([logits, boxes + 1.0], axis=2).reshape(40, -1)
    assert mean_average_precision(grid.detections(blurred), scenes) < 0.2


def test_boxes_stay_in_the_scene_and_finite():
    grid = Grid(side=16, stride=4, anchor=8.0, classes=3)
    boxes = grid.boxes(np.full((1, 16, 4), 1e9))
    assert np.isfinite(boxes).all() and boxes.min() >= 0 and boxes.max() <= 16


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"side": 30}, "30 pixels, cells of 4; give a multiple"),
        ({"side": 2}, "2 pixels"),
        ({"classes": 0}, "0 classes; give at least 1"),
    ],
)
def test_refuses(bad, message):
    with pytest.raises(ConfigError, match=message):
        Grid(**({"side": 32, "stride": 4, "anchor": 8.0, "classes": 3} | bad))
