"""What loaders give: samples as their source has them, before they are split and flattened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError

MAX_CLASSES = 65_536
MAX_VALUE = 1e30
"""Of a measured value: ranges and their squares are far from what a float can hold."""


@dataclass(frozen=True, eq=False)
class Samples:
    """One part of a source: `x` (n, *shape) of uint8 or of floats, `y` int64 (n,)."""

    x: NDArray[Any]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Source:
    """A source's training part and its own test part; without one (None) it is split off.

    `ranges` has the least and the greatest value of channels where they do not depend on the samples. Axes
    are in the order in which data sets keep them (`models.data.layout`), or as the file has them where the
    source is not `settled`.
    """

    classes: int
    train: Samples
    test: Samples | None
    ranges: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    settled: bool = True


def count_classes(where: str, labels: NDArray[Any]) -> int:
    """How many classes labels (n,) from 0 tell apart.

    Raises `DataError`: with `where` in front: a label that counts no classes.
    """
    greatest = int(labels.max())
    if greatest >= MAX_CLASSES:
        row = int(np.argmax(labels))
        raise DataError(
            f"{where}: sample {row} has label {greatest}; labels count classes from 0, renumber them"
        )
    return greatest + 1


def samples(where: str, x: NDArray[Any], labels: NDArray[Any], classes: int) -> Samples:
    """Pair samples with labels that are 0 to `classes - 1`.

    Raises:
        DataError: with `where` in front: other counts, a label out of range, or a value that is no number.
    """
    if labels.shape != (len(x),) or not len(x):
        raise DataError(
            f"{where}: {len(x)} samples but labels of shape {labels.shape}; give one label a sample"
        )
    if not x.size:
        raise DataError(f"{where}: samples of shape {x.shape[1:]} have no values; give some")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{where}: sample {row} has label {labels[row]}; labels are 0 to {classes - 1}")
    if x.dtype != np.uint8:
        check_values(where, x)
    return Samples(x, labels.astype(np.int64))


def check_values(where: str, x: NDArray[np.floating[Any]]) -> None:
    """Check that floats (n, ...) can be mapped to uint8: numbers, and not so great that ranges overflow.

    Raises `DataError`: with `where` in front: the first that cannot.
    """
    bad = ~(np.abs(x) <= MAX_VALUE)  # NaN as well
    if not bad.any():
        return
    row = int(np.argwhere(bad)[0][0])
    worst = float(x[bad].flat[0])
    what = f"{worst:g}, beyond {MAX_VALUE:g}" if np.isfinite(worst) else "NaN or infinity"
    raise DataError(f"{where}: sample {row} holds {what}; give finite values")
