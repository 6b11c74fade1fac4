"""Overlap, suppression and average precision against figures worked out by hand."""

import numpy as np
import pytest

from common.errors import DataError
from models.tasks.detection.boxes import (
    Detections,
    average_precision,
    mean_average_precision,
    overlaps,
    select,
    suppress,
)
from models.tasks.detection.scenes import NONE


def scenes(*contents):
    """Of lists of (label, box)."""
    objects = np.zeros((len(contents), max(1, *map(len, contents)), 5), np.int64)
    objects[..., 0] = NONE
    for row, each in enumerate(contents):
        for place, (label, box) in enumerate(each):
            objects[row, place] = label, *box
    return objects


def found(*detections):
    """Of (label, score, box), best first."""
    boxes = np.array([box for *_, box in detections], float).reshape(-1, 4)
    labels = np.array([label for label, *_ in detections], np.int64)
    return Detections(boxes, labels, np.array([score for _, score, _ in detections], float))


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 4, 1], [5, 5, 5, 5]])
    expected = [[1, 1 / 7, 2 / 6, 0], [1 / 7, 1, 0, 0], [2 / 6, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(overlaps(boxes, boxes), expected)
    assert overlaps(boxes[:0], boxes).shape == (0, 4)


def test_suppression_goes_by_score_and_only_against_what_stays():
    # A chain: each overlaps the next by 0.6, the ends by 0.33; the middle one goes, the last stays.
    boxes = np.array([[0, 0, 4, 1], [1, 0, 5, 1], [2, 0, 6, 1], [0, 3, 4, 4]])
    assert suppress(boxes, np.array([0.9, 0.8, 0.7, 0.95])).tolist() == [3, 0, 2]
    assert suppress(boxes, np.array([0.8, 0.9, 0.7, 0.1])).tolist() == [1, 3]
    assert suppress(boxes[:2], np.array([0.5, 0.5])).tolist() == [0]
    assert suppress(boxes, np.ones(4), limit=0.6).tolist() == [0, 1, 2, 3]


def test_select_is_class_by_class():
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 4], [4, 4, 8, 8]])
    chosen = select(boxes, np.array([[0.5, 0.3], [0.6, 0.2], [0.001, 0.4]]))
    assert chosen.labels.tolist() == [0, 1, 1] and chosen.scores.tolist() == [0.6, 0.4, 0.3]
    np.testing.assert_array_equal(chosen.boxes, boxes[[1, 2, 0]])


@pytest.mark.parametrize(
    ("hits", "objects", "expected"),
    [
        ([1], 1, 1.0),
        ([], 3, 0.0),
        ([0, 0], 1, 0.0),
        ([0, 1], 1, 1 / 2),
        ([1, 0, 1], 2, (1 + 2 / 3) / 2),
        ([1, 1], 4, 1 / 2),
        # Precision 1/2, 2/3, 3/4 at the hits: made to fall it is 3/4 at all three.
        ([0, 1, 1, 1], 3, 3 / 4),
        ([1, 0, 0, 1, 1], 3, (1 + 3 / 5 + 3 / 5) / 3),
    ],
)
def test_average_precision_by_hand(hits, objects, expected):
    assert average_precision(np.array(hits, bool), objects) == pytest.approx(expected)


def test_the_mean_is_over_classes_that_occur():
    given = scenes([(0, (0, 0, 4, 4)), (1, (4, 4, 8, 8))], [(0, (2, 2, 6, 6))])
    best = [
        found((0, 0.9, (0, 0, 4, 4)), (1, 0.8, (4, 4, 8, 8))),
        found((0, 0.7, (2, 2, 6, 6)), (2, 0.5, (0, 0, 8, 8))),
    ]
    assert mean_average_precision(best, given) == 1
    # Class 0: a miss between two hits, over all scenes by score. Class 1: nothing.
    worse = [found((0, 0.9, (0, 0, 4, 4)), (0, 0.8, (4, 4, 8, 8))), found((0, 0.7, (2, 2, 6, 6)))]
    assert mean_average_precision(worse, given) == pytest.approx((1 + 2 / 3) / 2 / 2)
    assert mean_average_precision([found(), found()], given) == 0


def test_an_object_is_hit_once_and_by_half_of_the_union():
    given = scenes([(0, (0, 0, 4, 4))])
    twice = found((0, 0.9, (0, 0, 4, 4)), (0, 0.8, (0, 0, 4, 4)))
    assert mean_average_precision([twice], given) == 1  # the second miss comes after full recall
    assert mean_average_precision([found((0, 0.9, (0, 0, 4, 3)), (0, 0.8, (0, 0, 4, 4)))], given) == 1
    assert mean_average_precision([found((0, 0.9, (0, 0, 2, 4)))], given) == 1  # just 0.5
    assert mean_average_precision([found((0, 0.9, (0, 0, 1.99, 4)))], given) == 0
    assert mean_average_precision([found((1, 0.9, (0, 0, 4, 4)))], given) == 0


def test_refuses_what_does_not_belong_together():
    with pytest.raises(DataError, match="not 1; give one each"):
        mean_average_precision([], scenes([(0, (0, 0, 4, 4))]))
    with pytest.raises(DataError, match="no object"):
        mean_average_precision([found()], scenes([]))
