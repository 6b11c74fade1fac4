"""The closest of samples that move while one asks: of many with few coordinates by a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

FEW = 12
MANY = 10_000
"""Coordinates up to which, and points from which on, a tree is faster than products of matrices."""
BLOCK = 256
"""Points whose distances to all others are computed at once."""
STALE = 512
"""Visits after which a tree is built anew, of the points where they are then."""
SLACK = 1e-9
"""What distances that are computed otherwise may differ by: points this near to the closest are measured."""


class Neighbours(ABC):
    """Points (n, coordinates), which may be moved, and the one that is closest to one of them."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self.points = points

    def closest(self, index: int) -> int:
        """The index of the other point that is closest to the one at `index`; of equals, the first."""
        near = self._candidates(index)
        squares = ((self.points[near] - self.points[index]) ** 2).sum(axis=1)
        squares[near == index] = np.inf
        return int(near[squares == squares.min()].min())

    def move(self, index: int, point: NDArray[np.float64]) -> None:
        """Put a point (coordinates,) elsewhere."""
        self.points[index] = point

    @abstractmethod
    def _candidates(self, index: int) -> NDArray[np.int64]:
        """Places that hold all of the closest, and may hold `index` itself."""


class ByProducts(Neighbours):
    """By products of matrices: those of `BLOCK` points to all at once, kept up as points move."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        super().__init__(points)
        self._squares: NDArray[np.float64] = (points**2).sum(axis=1)
        self._block = slice(0, 0)
        self._distances: NDArray[np.float64] = np.empty((0, len(points)))
        self._moved: set[int] = set()

    def move(self, index: int, point: NDArray[np.float64]) -> None:  # noqa: D102
        super().move(index, point)
        self._squares[index] = (point**2).sum()
        self._distances[:, index] = self._between(self._block, slice(index, index + 1))[:, 0]
        self._moved.add(index)

    def _candidates(self, index: int) -> NDArray[np.int64]:
        if not self._block.start <= index < self._block.stop:
            self._block = slice(index, index + BLOCK)
            self._distances = self._between(self._block, slice(None))
            self._moved.clear()
        distances = self._distances[index - self._block.start]
        if index in self._moved:
            distances = self._between(slice(index, index + 1), slice(None))[0]
        distances[index] = np.inf
        # The rounding of the products grows with the squares.
        return np.flatnonzero(distances <= distances.min() + SLACK * (1 + self._squares[index]))

    def _between(self, some: slice, others: slice) -> NDArray[np.float64]:
        """Squared distances of points, (some, others)."""
        products: NDArray[np.float64] = self.points[some] @ self.points[others].T
        return self._squares[some, None] - 2 * products + self._squares[others]


class ByTree(Neighbours):
    """By a k-d tree of the points as they were, and by measuring those that moved since."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        super().__init__(points)
        self._visits = 0
        self._build()

    def move(self, index: int, point: NDArray[np.float64]) -> None:  # noqa: D102
        super().move(index, point)
        if not self._stale[index]:
            self._stale[index] = True
            self._moved[self._count] = index
            self._count += 1

    def _candidates(self, index: int) -> NDArray[np.int64]:
        self._visits += 1
        if self._visits % STALE == 0:
            self._build()
        return np.concatenate([self._moved[: self._count], self._unmoved(index)])

    def _build(self) -> None:
        from scipy.spatial import KDTree

        self._tree = KDTree(self.points, balanced_tree=False, compact_nodes=False, copy_data=True)
        self._stale = np.zeros(len(self.points), np.bool_)
        self._moved = np.empty(len(self.points), np.int64)
        self._count = 0

    def _unmoved(self, index: int) -> NDArray[np.int64]:
        """The closest of the points that have not moved, with all that are as close; none if all have."""
        count, point = 4, self.points[index]
        while True:
            distances, indices = self._tree.query(point, min(count, len(self.points)))
            stays = ~self._stale[indices] & (indices != index)
            if stays.any():
                break
            if count >= len(self.points):
                return np.empty(0, np.int64)
            count *= 4
        radius = distances[stays][0] * (1 + SLACK)
        if distances[-1] <= radius:
            indices = np.array(self._tree.query_ball_point(point, radius), np.int64)
            stays = ~self._stale[indices] & (indices != index)
        return np.asarray(indices[stays], np.int64)


def neighbours(points: NDArray[np.float64]) -> Neighbours:
    """Make what is faster for two points or more (n, coordinates), which it keeps and moves."""
    many, coordinates = points.shape
    return ByTree(points) if many >= MANY and coordinates <= FEW else ByProducts(points)
