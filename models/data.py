"""Data sets: uint8 features and int64 labels, split in training, validation and test samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.tensorfile import Tensors, read_tensors, write_tensors
from pipeline.errors import ConfigError, DataError

KIND = "data set"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Samples with labels: `x` uint8 (n, features), `y` int64 (n,)."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set.

    Attributes:
        name: what the build file calls it.
        classes: number of classes; labels are 0 to `classes - 1`.
        input_shape: shape of one sample before flattening in C order; an image is (height, width, channels).
        train: what the networks learn from.
        validation: what hyperparameters and epochs are chosen by.
        test: what the verification ladder compares on; never seen before.
    """

    name: str
    classes: int
    input_shape: tuple[int, ...]
    train: Split
    validation: Split
    test: Split

    @property
    def features(self) -> int:
        """Number of values in one sample."""
        return int(np.prod(self.input_shape))


def load_digits(seed: int, test_fraction: float = 0.2, validation_fraction: float = 0.2) -> Dataset:
    """Load scikit-learn's 1,797 bundled 8x8 digits (UCI "optdigits", test part), pixel values 0 to 16.

    The split is stratified by class and depends on `seed` only. `test_fraction` is taken from all samples,
    `validation_fraction` from those that remain.

    Raises:
        ConfigError: a fraction outside 0..1.
    """
    from sklearn.datasets import load_digits as bundled_digits  # a second of import, for this data set only

    for key, fraction in (("test_fraction", test_fraction), ("validation_fraction", validation_fraction)):
        if not 0 < fraction < 1:
            raise ConfigError(f"digits: {key} is {fraction}; give a number between 0 and 1")
    digits = bundled_digits()
    x, y = digits.data.astype(np.uint8), digits.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    rest, test = _stratified(y, np.arange(len(y)), test_fraction, rng)
    train, validation = _stratified(y, rest, validation_fraction, rng)
    parts = {
        name: Split(x[rows], y[rows]) for name, rows in zip(SPLITS, (train, validation, test), strict=True)
    }
    return Dataset(name="digits", classes=10, input_shape=(8, 8, 1), **parts)


LOADERS: dict[str, Callable[[int, float, float], Dataset]] = {"digits": load_digits}


def load_named(name: str, seed: int, test_fraction: float, validation_fraction: float) -> Dataset:
    """Load the data set that a build file calls `name`, split as in `load_digits`.

    Raises:
        ConfigError: no such data set, or a fraction outside 0..1.
    """
    if name not in LOADERS:
        raise ConfigError(f"data: no data set is called {name!r}; known: {', '.join(sorted(LOADERS))}")
    return LOADERS[name](seed, test_fraction, validation_fraction)


def save(dataset: Dataset, path: Path) -> None:
    """Write the data set to one safetensors file; equal data sets give equal bytes."""
    header = {"name": dataset.name, "classes": dataset.classes, "input_shape": list(dataset.input_shape)}
    tensors: Tensors = {}
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        tensors |= {f"{name}.x": split.x, f"{name}.y": split.y}
    write_tensors(path, KIND, header, tensors)


def load(path: Path) -> Dataset:
    """Read a data set that `save` wrote.

    Raises:
        DataError: the file is missing, truncated, or its arrays do not fit each other.
    """
    header, tensors = read_tensors(path, KIND, DataError)
    try:
        name, classes = str(header["name"]), int(header["classes"])
        shape = tuple(int(size) for size in header["input_shape"])
        parts = {part: Split(tensors[f"{part}.x"], tensors[f"{part}.y"]) for part in SPLITS}
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(f"{path}: {cause} is missing or malformed; make the data set again") from cause
    dataset = Dataset(name=name, classes=classes, input_shape=shape, **parts)
    for part in SPLITS:
        check_split(f"{path}, {part}", parts[part], dataset.features, classes)
    return dataset


def check_split(where: str, split: Split, features: int, classes: int) -> None:
    """Check types, shapes and labels of one split.

    Raises:
        DataError: with `where` in front, says what does not fit.
    """
    x, y = split.x, split.y
    if x.dtype != np.uint8 or y.dtype != np.int64:
        raise DataError(f"{where}: x is {x.dtype} and y {y.dtype}; give uint8 and int64")
    if x.ndim != 2 or x.shape[1] != features:
        raise DataError(f"{where}: x has shape {x.shape}; give (samples, {features})")
    if y.shape != (len(x),) or not len(x):
        raise DataError(f"{where}: {len(x)} samples but labels of shape {y.shape}; give one label a sample")
    if y.min() < 0 or y.max() >= classes:
        row = int(np.argmax((y < 0) | (y >= classes)))
        raise DataError(f"{where}: sample {row} has label {y[row]}; labels are 0 to {classes - 1}")


def _stratified(
    labels: NDArray[np.int64], rows: NDArray[np.intp], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split `rows` in `(kept, taken)`, `ceil(fraction * n)` of them taken, each class by its share."""
    shuffled = rng.permutation(rows)
    # Rank of each row inside its class, scaled to 0..1: the smallest ranks are spread evenly over the
    # classes.
    rank = np.empty(len(rows))
    for label in np.unique(labels[shuffled]):
        members = np.flatnonzero(labels[shuffled] == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(rank, kind="stable")
    count = int(np.ceil(fraction * len(rows)))
    return np.sort(shuffled[order[count:]]), np.sort(shuffled[order[:count]])
