"""A user's own arrays, in one `.npz` file; pickled objects are refused."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.arrays import read_npz_arrays
from models.data.layout import LAYOUTS, check_layout
from models.data.samples import Samples, Source, count_classes, samples

APART = ("x_train", "y_train", "x_test", "y_test")
WHOLE = ("x", "y")


def read_npz(path: Path, layout: str | None = None) -> Source:
    """Read `x_train`, `y_train`, `x_test`, `y_test`; or `x`, `y`, of which a part is split off for testing.

    Samples are uint8, or float32 or float64 (they are then mapped to uint8): images, series or vectors in one
    of `LAYOUTS`, and in `layout` where it is given. The order of their axes is left to others: the source is
    not settled. Labels are integers from 0, as many classes as the training part has.

    Raises `DataError`: the file is missing, truncated or pickled, or its arrays do not fit.
    """
    arrays = read_npz_arrays(path, {*APART, *WHOLE})
    if set(APART) <= arrays.keys():
        x, y, x_test, y_test = (arrays[name] for name in APART)
        classes = _classes(f"{path}, y_train", y)
        train = _samples(f"{path}, x_train", x, y, classes, layout)
        _check_labels(f"{path}, y_test", y_test)
        test = _samples(f"{path}, x_test", x_test, y_test, classes, layout)
        if train.x.shape[1:] != test.x.shape[1:] or train.x.dtype != test.x.dtype:
            raise DataError(
                f"{path}: x_test is {test.x.dtype} of {test.x.shape[1:]}, x_train {train.x.dtype} of "
                f"{train.x.shape[1:]}; give samples of one type and shape"
            )
        return Source(classes, train, test, settled=False)
    if set(WHOLE) <= arrays.keys():
        x, y = (arrays[name] for name in WHOLE)
        classes = _classes(f"{path}, y", y)
        return Source(classes, _samples(f"{path}, x", x, y, classes, layout), None, settled=False)
    raise DataError(
        f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; give {', '.join(APART)}, or x, y"
    )


def _check_labels(where: str, y: NDArray[Any]) -> None:
    if y.dtype.kind not in "iu" or y.ndim != 1 or not len(y):
        raise DataError(f"{where}: {y.dtype} of shape {y.shape}; give integers, one label a sample")


def _classes(where: str, y: NDArray[Any]) -> int:
    _check_labels(where, y)
    return count_classes(where, y)


def _samples(where: str, x: NDArray[Any], y: NDArray[Any], classes: int, layout: str | None) -> Samples:
    if x.dtype not in (np.uint8, np.float32, np.float64):
        raise DataError(f"{where}: {x.dtype} values; give uint8, or floats that Retort maps to uint8")
    if x.ndim not in LAYOUTS or not x.size:
        raise DataError(
            f"{where}: shape {x.shape}; give images (n, height, width, channels), series (n, time, 1, "
            "channels) or vectors (n, features)"
        )
    check_layout(where, x, layout)
    return samples(where, x, y, classes)
