"""The decision tree as a layer: a frame to a label."""

from dataclasses import dataclass

import numpy as np

from common.errors import LoweringError
from hw.dataflow.types import Integers, StreamLayer, check_divides

LEAF = -1
"""In place of a leaf's feature."""


@dataclass(frozen=True, eq=False)
class TreeTable:
    """Nodes in arrays (nodes,), the root first, every node before its children.

    A node looks at the value at `feature` of a frame: one above `threshold` goes `right`, others `left`.
    Leaves have the feature `LEAF` and a `label`.
    """

    feature: Integers
    threshold: Integers
    left: Integers
    right: Integers
    label: Integers


@dataclass(frozen=True)
class Tree(StreamLayer):
    """Frames of `features` uint8 values, `lanes` a word, to one label a frame.

    Raises `LoweringError`: more than 256 classes, or lanes that do not divide a frame.
    """

    name: str
    table: TreeTable
    features: int
    classes: int
    lanes: int = 1

    def __post_init__(self) -> None:
        check_divides(self.name, "lanes", self.lanes, self.features)
        if not 1 <= self.classes <= 256:
            raise LoweringError(f"{self.name}: {self.classes} classes; give 1 to 256, labels are bytes")

    @property
    def i_elements(self) -> int:  # noqa: D102
        return self.features

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return 1

    @property
    def o_elements(self) -> int:  # noqa: D102
        return 1

    def execute(self, x: Integers) -> Integers:
        """Frames `(n, features)` to labels `(n, 1)`."""
        table, node = self.table, np.zeros(len(x), np.int64)
        while (inner := table.feature[node] != LEAF).any():
            above = x[np.arange(len(x)), np.maximum(table.feature[node], 0)] > table.threshold[node]
            node = np.where(inner, np.where(above, table.right[node], table.left[node]), node)
        return table.label[node][:, None]
