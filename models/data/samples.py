"""What loaders give: samples as their source has them, before they are split and flattened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError


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


def samples(where: str, x: NDArray[Any], labels: NDArray[Any], classes: int) -> Samples:
    """Pair samples with labels that are 0 to `classes - 1`.

    Raises:
        DataError: with `where` in front: other counts, a label out of range, or a value that is no number.
    """
    if labels.shape != (len(x),) or not len(x):
        raise DataError(
            f"{where}: {len(x)} samples but labels of shape {labels.shape}; give one label a sample"
        )
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{where}: sample {row} has label {labels[row]}; labels are 0 to {classes - 1}")
    if x.dtype != np.uint8 and not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise DataError(f"{where}: sample {row} holds NaN or infinity; give finite values")
    return Samples(x, labels.astype(np.int64))
