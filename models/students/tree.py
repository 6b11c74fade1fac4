"""A network distilled into a decision tree (arXiv:1812.10924): regression on its soft targets.

The tree compares uint8 features with integer thresholds, so that it means the same in numpy and in logic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, ModelFileError

LEAF = -1
"""In place of a leaf's feature."""

KEYS = ("feature", "threshold", "left", "right", "label")


@dataclass(frozen=True, eq=False)
class DecisionTree:
    """Nodes in arrays (nodes,), the root first, every node before its children.

    Attributes:
        feature: int64, index of the value that a node looks at; `LEAF` of leaves.
        threshold: int64, 0 to 254: a greater value goes right, others left.
        left: int64, index of the left child; 0 of leaves.
        right: int64, of the right child.
        label: int64, class of a leaf; 0 of others.
        input_shape: of a sample.
        classes: number of classes.

    Raises `ModelFileError`: arrays that are no such tree.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    label: NDArray[np.int64]
    input_shape: tuple[int, ...]
    classes: int

    def __post_init__(self) -> None:
        count, arrays = len(self.feature), [getattr(self, key) for key in KEYS]
        if not count or any(a.dtype != np.int64 or a.shape != (count,) for a in arrays):
            raise ModelFileError(f"tree: give int64 arrays of one length, {', '.join(KEYS)}")
        inner = self.feature != LEAF
        children = np.concatenate([self.left[inner], self.right[inner]])
        once = np.array_equal(np.sort(children), np.arange(1, count))
        indices = np.arange(count)[inner]
        forward = (self.left[inner] > indices).all() and (self.right[inner] > indices).all()
        ranges = (
            (self.feature[inner] >= 0).all()
            and (self.feature < np.prod(self.input_shape)).all()
            and ((self.threshold[inner] >= 0) & (self.threshold[inner] <= 254)).all()
            and ((self.label >= 0) & (self.label < self.classes)).all()
        )
        if not (once and forward and ranges):
            raise ModelFileError("tree: nodes that are no tree over uint8 values; fit it again")

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return int((self.feature == LEAF).sum())

    @property
    def depth(self) -> int:
        """Most comparisons that a sample meets."""
        depths = np.zeros(len(self.feature), np.int64)
        for node in np.flatnonzero(self.feature != LEAF):
            depths[[self.left[node], self.right[node]]] = depths[node] + 1
        return int(depths.max())

    def predict(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Evaluate `x` uint8 (n, features): the labels (n,)."""
        at = np.zeros(len(x), np.int64)
        for _ in range(self.depth):
            inner = self.feature[at] != LEAF
            value = x[np.arange(len(x)), np.maximum(self.feature[at], 0)].astype(np.int64)
            below = np.where(value > self.threshold[at], self.right[at], self.left[at])
            at = np.where(inner, below, at)
        return self.label[at]

    def lines(self) -> Iterator[str]:
        """The tree to read, a line a branch; values of images by row, column and channel."""
        waiting = [(0, 0, "")]
        while waiting:
            node, depth, branch = waiting.pop()
            leaf = f"class {self.label[node]}" if self.feature[node] == LEAF else ""
            if branch or leaf:
                yield f"{'  ' * max(0, depth - 1)}{branch}{': ' if branch and leaf else ''}{leaf}"
            if not leaf:
                name, threshold = self._name(int(self.feature[node])), self.threshold[node]
                waiting.append((int(self.right[node]), depth + 1, f"{name} > {threshold}"))
                waiting.append((int(self.left[node]), depth + 1, f"{name} <= {threshold}"))

    def _name(self, feature: int) -> str:
        if len(self.input_shape) == 1:
            return f"x[{feature}]"
        index = (int(each) for each in np.unravel_index(feature, self.input_shape))
        return f"x[{', '.join(map(str, index))}]"

    def save(self, path: Path) -> None:
        """Write JSON."""
        arrays = {key: getattr(self, key).tolist() for key in KEYS}
        about = {"input_shape": list(self.input_shape), "classes": self.classes}
        path.write_text(json.dumps(about | arrays) + "\n")

    @classmethod
    def load(cls, path: Path) -> DecisionTree:
        """Read what `save` wrote. Raises `ModelFileError`: it is no such file."""
        try:
            raw = json.loads(path.read_text())
            arrays = [np.array(raw[key], np.int64) for key in KEYS]
            feature, threshold, left, right, label = arrays
            shape = tuple(map(int, raw["input_shape"]))
            return cls(feature, threshold, left, right, label, shape, int(raw["classes"]))
        except (OSError, ValueError, KeyError, TypeError, ModelFileError) as error:
            raise ModelFileError(f"{path}: not a tree ({error}); build again") from error


def check_size(depth: int, leaves: int | None) -> None:
    """Raise `ConfigError` for a depth outside of 1..20, or fewer than 2 leaves."""
    if not 1 <= depth <= 20:
        raise ConfigError(f"tree: depth is {depth}; give 1 to 20")
    if leaves is not None and leaves < 2:
        raise ConfigError(f"tree: leaves is {leaves}; give at least 2")


def fit(
    x: NDArray[np.uint8],
    targets: NDArray[np.floating[Any]],
    input_shape: tuple[int, ...],
    *,
    depth: int = 8,
    leaves: int | None = None,
    seed: int = 0,
) -> DecisionTree:
    """Fit a tree of `depth` to what the teacher says of `x` uint8 (n, features): `targets` (n, classes).

    The targets are probabilities, or logits as in the paper. Least squares on all of them at once; a leaf's
    class is the greatest of its mean targets. Branches whose leaves all have one class are then one leaf,
    which changes no answer.

    Raises `ConfigError`: a depth outside of 1..20, or fewer than 2 leaves.
    """
    from sklearn.tree import DecisionTreeRegressor

    check_size(depth, leaves)
    fitted = DecisionTreeRegressor(max_depth=depth, max_leaf_nodes=leaves, random_state=seed)
    found = fitted.fit(x, targets).tree_
    labels = found.value[:, :, 0].argmax(axis=1)
    return _gathered(found, labels, input_shape, targets.shape[1])


def _gathered(
    found: Any, labels: NDArray[np.int64], input_shape: tuple[int, ...], classes: int
) -> DecisionTree:
    """The nodes of scikit-learn's tree that decide between classes, in its order."""
    left, right = found.children_left, found.children_right
    one = np.array(labels)  # the class of all leaves below, or -1 where they differ
    for node in range(len(left) - 1, -1, -1):
        if left[node] != LEAF:
            one[node] = one[left[node]] if one[left[node]] == one[right[node]] else LEAF
    rows: list[list[int]] = []

    def add(node: int) -> int:
        index = len(rows)
        if one[node] != LEAF:
            rows.append([LEAF, 0, 0, 0, int(one[node])])
            return index
        # uint8 values are at most t exactly where they are at most its floor.
        rows.append([int(found.feature[node]), int(np.floor(found.threshold[node])), 0, 0, 0])
        rows[index][2] = add(int(left[node]))
        rows[index][3] = add(int(right[node]))
        return index

    add(0)
    feature, threshold, left, right, label = np.array(rows, np.int64).T.copy()
    return DecisionTree(feature, threshold, left, right, label, input_shape, classes)
