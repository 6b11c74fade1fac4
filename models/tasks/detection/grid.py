"""From objects to what every cell of a grid should give, and back from what cells give to boxes.

One box a cell, relative to a square anchor around its centre, as arXiv:1506.01497 encodes boxes, section
3.1.2, but centres in cells: x = (centre - cell's centre) / stride, w = ln(width / anchor).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError
from models.metrics import softened
from models.tasks.detection.boxes import Detections, select
from models.tasks.detection.scenes import NONE, SceneConfig, Scenes

BACKGROUND = 0
"""The class of a cell without object; class c of the data set is c + 1."""

BOX = 4
"""Values of a box."""

EXTENT = 4.0
"""No box is further than e to the power of this from the anchor, whatever a network gives."""


@dataclass(frozen=True)
class Grid:
    """Cells of `stride` pixels over scenes of `side` pixels; each gives logits of all classes, and a box.

    A network gives the cells row by row: `classes` + 1 logits, background first, then the box.

    Raises:
        ConfigError: scenes that are no whole number of cells, or no classes.
    """

    side: int
    stride: int
    anchor: float
    classes: int

    def __post_init__(self) -> None:
        if self.stride < 1 or self.side % self.stride or self.side < self.stride:
            raise ConfigError(
                f"detection: scenes of {self.side} pixels, cells of {self.stride}; give a multiple as side"
            )
        if self.classes < 1:
            raise ConfigError(f"detection: {self.classes} classes; give at least 1, background not counted")

    @classmethod
    def of(cls, scenes: SceneConfig, stride: int, classes: int) -> "Grid":
        """The grid whose anchor is the geometric mean of the objects' sides."""
        return cls(scenes.side, stride, float(np.sqrt(scenes.smallest * scenes.largest)), classes)

    @property
    def cells(self) -> int:
        """Cells each way."""
        return self.side // self.stride

    @property
    def channels(self) -> int:
        """Values a cell."""
        return self.classes + 1 + BOX

    @property
    def centres(self) -> NDArray[np.float64]:
        """Column and row of every cell's centre, (cells^2, 2), in pixels."""
        along = (np.arange(self.cells) + 0.5) * self.stride
        return np.stack([np.tile(along, self.cells), np.repeat(along, self.cells)], axis=1)

    def assign(self, scenes: Scenes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What each cell should give: classes (n, cells^2), `BACKGROUND` or more, boxes (n, cells^2, 4).

        An object belongs to the cell of its box's centre; of several there, the smallest has it. Boxes of the
        background are 0.
        """
        classes = np.full((len(scenes), self.cells**2), BACKGROUND, np.int64)
        boxes = np.zeros((len(scenes), self.cells**2, BOX), np.float32)
        sides = scenes.boxes[..., 2:] - scenes.boxes[..., :2]
        centres = (scenes.boxes[..., :2] + scenes.boxes[..., 2:]) / 2
        places = np.minimum(centres // self.stride, self.cells - 1).astype(np.int64)
        cells = places[..., 1] * self.cells + places[..., 0]
        for row, number in sorted(
            zip(*np.nonzero(scenes.labels != NONE), strict=True), key=lambda at: -sides[at].prod()
        ):
            cell = cells[row, number]
            classes[row, cell] = scenes.labels[row, number] + 1
            offset = (centres[row, number] - self.centres[cell]) / self.stride
            boxes[row, cell] = np.concatenate([offset, np.log(sides[row, number] / self.anchor)])
        return classes, boxes

    def boxes(self, encoded: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes in pixels, within the scene, of encoded ones; both (n, cells^2, 4)."""
        values = encoded.astype(np.float64)
        centres = self.centres + values[..., :2] * self.stride
        halves = np.exp(values[..., 2:].clip(-EXTENT, EXTENT)) * self.anchor / 2
        corners = np.concatenate([centres - halves, centres + halves], axis=-1)
        return np.asarray(corners.clip(0, self.side))

    def detections(self, outputs: NDArray[np.floating]) -> list[Detections]:
        """What a network found in each scene, of its outputs (n, cells^2 * channels), scales applied."""
        cells = outputs.reshape(len(outputs), self.cells**2, self.channels)
        scores = softened(cells[..., :-BOX])[..., BACKGROUND + 1 :]
        return [select(*each) for each in zip(self.boxes(cells[..., -BOX:]), scores, strict=True)]
