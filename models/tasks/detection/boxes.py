"""Boxes, what is kept of them, and how good they are: intersection over union, suppression, mean AP.

Boxes are (left, top, right, bottom) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from models.lazy import np
from models.tasks.detection.scenes import NONE

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Boxes: TypeAlias = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]

THRESHOLD = 0.01
"""Scores below are no detections."""
OVERLAP = 0.5
"""A box that overlaps a better one of its class by more is no detection; one that overlaps an object by less
misses it."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a scene: boxes (n, 4), classes int64 (n,) from 0, scores (n,) in falling order."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


def overlaps(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Intersection over union of all pairs of boxes (n, 4) and (m, 4): (n, m); 0 for two empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2).astype(np.float64)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (first, second)]
    together = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.where(together > 0, together, 1.0))


def suppress(boxes: Boxes, scores: NDArray[np.floating[Any]], limit: float = OVERLAP) -> NDArray[np.int64]:
    """Places of the boxes (n, 4) that stay, best first: none overlaps a better one by more than `limit`.

    Of equal scores (n,) the first counts as better.
    """
    order = np.argsort(-scores, kind="stable")
    shared = overlaps(boxes, boxes)
    kept: list[int] = []
    for place in order:
        if not (shared[place, kept] > limit).any():
            kept.append(int(place))
    return np.array(kept, np.int64)


def select(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float = THRESHOLD
) -> Detections:
    """Detections of one scene: boxes (cells, 4), scores (cells, classes); suppression class by class."""
    found: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]] = []
    for label in range(scores.shape[1]):
        places = np.flatnonzero(scores[:, label] >= threshold)
        kept = places[suppress(boxes[places], scores[places, label])]
        found.append((boxes[kept], np.full(len(kept), label), scores[kept, label]))
    all_boxes, labels, values = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-values, kind="stable")
    return Detections(all_boxes[order], labels[order], values[order])


def average_precision(hits: NDArray[np.bool_], objects: int) -> float:
    """The area under precision over recall, of detections in falling order of score that hit or not.

    Precision is made to fall: at each recall it is the greatest at that recall or beyond (PASCAL VOC since
    2010; Everingham et al., IJCV 2015, section 4.2). 0 where nothing hits.
    """
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[hits].sum() / objects)


def mean_average_precision(
    detections: Sequence[Detections], objects: NDArray[np.int64], limit: float = OVERLAP
) -> float:
    """The mean over all classes that occur in `objects` of their average precision, 0 to 1.

    A detection, best first over all scenes, hits where the object of its class that it overlaps most, by at
    least `limit`, was not hit before (PASCAL VOC's rule). `objects` (n, most, 5) are class and box.

    Raises `DataError`: not as many detections as scenes, or no object at all.
    """
    if len(detections) != len(objects):
        raise DataError(f"detections of {len(detections)} scenes, not {len(objects)}; give one each")
    present = np.unique(objects[..., 0][objects[..., 0] != NONE])
    if not len(present):
        raise DataError("scenes: no object in any of them; give scenes with objects")
    return float(np.mean([_of_class(int(label), detections, objects, limit) for label in present]))


def _of_class(
    label: int, detections: Sequence[Detections], objects: NDArray[np.int64], limit: float
) -> float:
    hits: list[bool] = []
    scores: list[float] = []
    for found, all_objects in zip(detections, objects, strict=True):
        own, wanted = found.labels == label, all_objects[all_objects[:, 0] == label, 1:]
        scores += found.scores[own].tolist()
        taken: set[int] = set()
        for row in overlaps(found.boxes[own], wanted):
            best = int(row.argmax()) if len(row) else NONE
            hit = best != NONE and row[best] >= limit and best not in taken
            hits.append(hit)
            if hit:
                taken.add(best)
    order = np.argsort(-np.array(scores), kind="stable")
    return average_precision(np.array(hits, np.bool_)[order], int((objects[..., 0] == label).sum()))
