"""From objects to what every cell of a grid should give, and back from what cells give to boxes.

One box a cell, relative to a square anchor around its centre, as arXiv:1506.01497 encodes boxes, section
3.1.2, but centres in cells: x = (centre - cell's centre) / stride, w = ln(width / anchor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.errors import ConfigError
from models.distill.losses.detection import BACKGROUND, BOX
from models.lazy import np
from models.metrics import softened
from models.tasks.detection.boxes import Detections, select
from models.tasks.detection.scenes import NONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.metrics import Logits

EXTENT = 4.0
"""No box is further than e to the power of this from the anchor, whatever a network gives."""


@dataclass(frozen=True)
class Grid:
    """Cells of `stride` pixels over scenes of `side` pixels, boxes relative to `anchor` pixels.

    A network gives the cells row by row: logits of background and of all classes, then the box.

    Raises `ConfigError`: scenes that are no whole number of cells.
    """

    side: int
    stride: int
    anchor: float

    def __post_init__(self) -> None:
        if self.stride < 1 or self.side % self.stride:
            raise ConfigError(f"task: side {self.side} is no multiple of stride {self.stride}; give one")

    @property
    def cells(self) -> int:
        """Cells each way."""
        return self.side // self.stride

    @property
    def centres(self) -> NDArray[np.float64]:
        """Column and row of every cell's centre, (cells^2, 2), in pixels."""
        along = (np.arange(self.cells) + 0.5) * self.stride
        return np.stack([np.tile(along, self.cells), np.repeat(along, self.cells)], axis=1)

    def assign(self, objects: NDArray[np.int64]) -> NDArray[np.float32]:
        """What each cell should give, (n, cells^2, 5), of objects (n, most, 5): its class, then its box.

        An object belongs to the cell of its box's centre; of several there, the smallest has it. Classes are
        `BACKGROUND` or that of the object plus 1. Boxes of the background are 0.
        """
        found = np.zeros((len(objects), self.cells**2, 1 + BOX), np.float32)
        labels, low, high = objects[..., 0], objects[..., 1:3], objects[..., 3:]
        sides, centres = high - low, (low + high) / 2
        places = np.minimum(centres // self.stride, self.cells - 1).astype(np.int64)
        cells = places[..., 1] * self.cells + places[..., 0]
        for row, number in sorted(
            zip(*np.nonzero(labels != NONE), strict=True), key=lambda at: -sides[at].prod()
        ):
            cell = cells[row, number]
            offset = (centres[row, number] - self.centres[cell]) / self.stride
            extent = np.log(sides[row, number] / self.anchor)
            found[row, cell] = [labels[row, number] + 1, *offset, *extent]
        return found

    def boxes(self, encoded: NDArray[Any]) -> NDArray[np.float64]:
        """Boxes in pixels, within the scene, of encoded ones; both (n, cells^2, 4)."""
        values = encoded.astype(np.float64)
        centres = self.centres + values[..., :2] * self.stride
        halves = np.exp(values[..., 2:].clip(-EXTENT, EXTENT)) * self.anchor / 2
        corners = np.concatenate([centres - halves, centres + halves], axis=-1)
        return np.asarray(corners.clip(0, self.side))

    def detections(self, outputs: Logits) -> list[Detections]:
        """What a network found in each scene, of its outputs (n, cells^2 * values), scales applied."""
        cells = outputs.reshape(len(outputs), self.cells**2, -1)
        scores = softened(cells[..., :-BOX])[..., BACKGROUND + 1 :]
        return [select(*each) for each in zip(self.boxes(cells[..., -BOX:]), scores, strict=True)]
