"""Detection: for each cell of a grid over a scene, logits of all classes and a box."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Le

from common.errors import ConfigError
from common.settings import Count
from models.distill.losses.detection import BACKGROUND, BOX, DetectionLoss
from models.lazy import np
from models.metrics import softened
from models.tasks.base import Task
from models.tasks.detection.boxes import OVERLAP, THRESHOLD, mean_average_precision
from models.tasks.detection.grid import EXTENT, Grid
from models.tasks.detection.scenes import SceneConfig, check_images, make_scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.data import Dataset, Split
    from models.distill.method import Distillation
    from models.metrics import Logits


Scenes = Annotated[int, Ge(1), Le(100_000)]


@dataclass(frozen=True)
class Detection(SceneConfig, Task):
    """Several objects a scene, each with its class and its box.

    Scenes are composed of the images of the data set. A split's labels are int64 (n, most, 5): class, left,
    top, right, bottom; class -1 where there is no object. A network gives the cells row by row: the logits of
    background and all classes, then the box (`models.tasks.detection.grid`).

    Attributes:
        stride: pixels of a scene to a cell, each way.
        scenes: scenes to learn from; a tenth as many choose the best epoch.
        test_scenes: scenes to measure and to verify on.

    Raises `ConfigError`: a size out of range, or scenes that are no whole number of cells.
    """

    kind: ClassVar[str] = "detection"
    metric: ClassVar[str] = "mean average precision"
    distillation: ClassVar[str] = DetectionLoss.method
    has_label: ClassVar[bool] = False
    augmentable: ClassVar[bool] = False

    stride: Count = 4
    scenes: Scenes = 1500
    test_scenes: Scenes = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid  # noqa: B018 (checks side and stride)

    @property
    def grid(self) -> Grid:
        """The grid; its anchor is the geometric mean of the objects' sides."""
        return Grid(self.side, self.stride, math.sqrt(self.smallest * self.largest))

    def prepare(self, dataset: Dataset, seed: int) -> Dataset:
        """Compose the scenes of each split from that split's images; the same seed gives the same bytes."""
        shape = dataset.input_shape
        counts = (self.scenes, max(1, self.scenes // 10), self.test_scenes)
        train, validation, test = (
            make_scenes(split, shape, self, count, [seed, number])
            for number, (split, count) in enumerate(zip(dataset.splits, counts, strict=True))
        )
        return replace(
            dataset,
            input_shape=self.input_shape(shape),
            train=train,
            validation=validation,
            test=test,
            scaling=None,
        )

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A scene's height, width and channels."""
        check_images(shape)
        return (self.side, self.side, shape[2])

    def train_samples(self, samples: int) -> int:
        """As many as the build file says."""
        return self.scenes

    def outputs(self, shape: tuple[int, ...], classes: int) -> int:
        """Logits of background and classes, and a box, of every cell."""
        return self.grid.cells**2 * (classes + 1 + BOX)

    def targets(self, split: Split) -> NDArray[np.float32]:
        """What each cell should give: its class, then its box (n, cells^2, 5)."""
        return self.grid.assign(split.y)

    def score(self, outputs: Logits, split: Split) -> float:
        """Mean average precision at an overlap of one half."""
        return mean_average_precision(self.grid.detections(outputs), split.y)

    def chance(self, split: Split) -> float:
        """The score where each cell always gives its class frequencies and the mean of its boxes."""
        targets = self.targets(split)
        classes = targets[..., 0].astype(np.int64)
        shares = np.eye(classes.max() + 1)[classes].mean(axis=0)
        objects = np.maximum((classes != BACKGROUND).sum(axis=0), 1)[:, None]
        cells = np.concatenate([np.log(shares + 1e-9), targets[..., 1:].sum(axis=0) / objects], axis=1)
        return self.score(np.tile(cells.reshape(1, -1), (len(split), 1)), split)

    def combine(self, members: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Logs of the mean of the members' probabilities, and the mean of their boxes."""
        cells = members.reshape(*members.shape[:2], self.grid.cells**2, -1).astype(np.float64)
        tiny = np.finfo(np.float64).tiny
        classes = np.log(np.maximum(softened(cells[..., :-BOX]).mean(axis=0), tiny))
        both = np.concatenate([classes, cells[..., -BOX:].mean(axis=0)], axis=-1)
        return both.reshape(members.shape[1], -1)

    def differing(self, first: Logits, second: Logits) -> NDArray[np.bool_]:
        """Scenes in which the class of any cell differs."""
        return np.asarray((self._classes(first) != self._classes(second)).any(axis=1))

    def wrong(self, outputs: Logits, split: Split) -> NDArray[np.bool_]:
        """Scenes in which the class of any cell is not that of its object."""
        return np.asarray((self._classes(outputs) != self.targets(split)[..., 0]).any(axis=1))

    def compare(self, outputs: Logits, teacher: NDArray[np.float64]) -> dict[str, float]:
        """Share of scenes, and of cells, of the teacher's classes."""
        cells = float(np.mean(self._classes(outputs) == self._classes(teacher)))
        return {"agreement": self.agreement(outputs, teacher), "cell_agreement": cells}

    def describe(self, outputs: Logits, split: Split) -> dict[str, Any]:
        """How many objects there are."""
        return {"objects": int((split.y[..., 0] >= 0).sum())}

    def labels_only(self, label_smoothing: float = 0.0) -> Distillation:
        """Cross-entropy of the cells' classes and regression of their boxes."""
        if label_smoothing:
            raise ConfigError("teacher: label_smoothing: the task detection has none; remove it")
        return DetectionLoss(hard_label_weight=1.0, bounded_weight=0.0, hint_weight=0.0)

    def decoding(self, dataset: Dataset) -> dict[str, Any]:
        """The grid, and how a cell's values become classes and boxes."""
        grid = asdict(self.grid) | {"cells": self.grid.cells, "values": dataset.classes + 1 + BOX}
        return {
            "task": self.kind,
            "classes": dataset.classes,
            "grid": grid,
            "threshold": THRESHOLD,
            "overlap": OVERLAP,
            "answer": (
                "cells row by row; of each, times the output's scale: logits of background and classes"
                f" (softmax), then x, y, w, h: centre = cell's centre + stride * (x, y), width ="
                f" anchor * exp(w), height = anchor * exp(h), w and h within {EXTENT:g} of 0; of each class"
                " keep scores of threshold or more whose box overlaps no better one by more than overlap"
            ),
        }

    def _classes(self, outputs: Logits) -> NDArray[np.int64]:
        """The class of each cell (n, cells^2)."""
        cells = outputs.reshape(len(outputs), self.grid.cells**2, -1)
        return np.asarray(cells[..., :-BOX].argmax(axis=-1))
