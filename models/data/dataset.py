"""A data set in memory and in its file: uint8 features, int64 labels, three splits, the input contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.tensorfile import Tensors, read_tensors, write_tensors

KIND = "data set"
SPLITS = ("train", "validation", "test")
MIN_RANGE = 1e-30


@dataclass(frozen=True, eq=False)
class Split:
    """Samples with labels: `x` uint8 (n, features), `y` int64 (n,), or (n, ...) where the task has more."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Scaling:
    """How measured values became uint8, channel by channel: `value = offset + scale * uint8`.

    Both have one number a channel (the last axis of a sample), or one for all. They are fixed on the training
    split alone, or by the imported network that takes the bytes. Whoever feeds the network must use the
    same: `uint8 = clip(round((value - offset) / scale), 0, 255)`.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(
        cls, x: NDArray[np.floating[Any]], ranges: Mapping[int, tuple[float, float]] | None = None
    ) -> "Scaling":
        """Map the least value of each channel to 0, the greatest to 255; x is (samples, ..., channels).

        `ranges` gives both of channels where x does not tell.

        Raises `DataError`: a channel's values are next to equal.
        """
        values = x.reshape(-1, x.shape[-1]).astype(np.float64)
        low, high = values.min(axis=0), values.max(axis=0)
        for channel, (least, greatest) in (ranges or {}).items():
            low[channel], high[channel] = least, greatest
        narrow = (high > low) & (high - low < MIN_RANGE)
        if narrow.any():
            channel = int(np.argmax(narrow))
            raise DataError(
                f"channel {channel}: its values differ by {high[channel] - low[channel]:g} only, less than"
                f" {MIN_RANGE:g}; scale them up"
            )
        step = np.where(high > low, (high - low) / 255, 1.0)
        return cls(tuple(low.tolist()), tuple(step.tolist()))

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Scale and offset, of all channels alike or of each."""
        count = max(len(self.scale), len(self.offset))
        return [
            (self.scale[index % len(self.scale)], self.offset[index % len(self.offset)])
            for index in range(count)
        ]

    def apply(self, x: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Quantize x (samples, ..., channels); what is outside of the training range saturates."""
        steps = np.rint((x.astype(np.float64) - np.array(self.offset)) / np.array(self.scale))
        quantized: NDArray[np.uint8] = steps.clip(0, 255).astype(np.uint8)
        return quantized


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set.

    Attributes:
        name: what the build file calls it.
        classes: number of classes; labels are 0 to `classes - 1`.
        input_shape: shape of one sample before flattening in C order: an image is (height, width, channels),
            a series (time, 1, channels), anything else (features,).
        train: what the networks learn from.
        validation: what hyperparameters and epochs are chosen by.
        test: what the verification ladder compares on; never seen before.
        scaling: what values the bytes stand for; None where the source itself has uint8.
    """

    name: str
    classes: int
    input_shape: tuple[int, ...]
    train: Split
    validation: Split
    test: Split
    scaling: Scaling | None = None

    @property
    def splits(self) -> tuple[Split, Split, Split]:
        """All three, in the order of `SPLITS`."""
        return self.train, self.validation, self.test

    @property
    def features(self) -> int:
        """Number of values in one sample."""
        return int(np.prod(self.input_shape))

    @property
    def byte_values(self) -> list[tuple[float, float]]:
        """Scale and offset of what bytes stand for, of all channels alike or of each."""
        return self.scaling.pairs if self.scaling else [(1.0, 0.0)]


def save(dataset: Dataset, path: Path) -> None:
    """Write the data set to one safetensors file; equal data sets give equal bytes."""
    header: dict[str, Any] = {
        "name": dataset.name,
        "classes": dataset.classes,
        "input_shape": list(dataset.input_shape),
    }
    if dataset.scaling:
        header["scaling"] = {"offset": dataset.scaling.offset, "scale": dataset.scaling.scale}
    tensors: Tensors = {}
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        tensors |= {f"{name}.x": split.x, f"{name}.y": split.y}
    write_tensors(path, KIND, header, tensors)


def load(path: Path) -> Dataset:
    """Read a data set that `save` wrote.

    Raises `DataError`: the file is missing, truncated, or its arrays do not fit each other.
    """
    header, tensors = read_tensors(path, KIND, DataError)
    try:
        name, classes = str(header["name"]), int(header["classes"])
        shape = tuple(int(size) for size in header["input_shape"])
        scaling = _scaling(header["scaling"]) if "scaling" in header else None
        parts = {part: Split(tensors[f"{part}.x"], tensors[f"{part}.y"]) for part in SPLITS}
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(f"{path}: {cause} is missing or malformed; make the data set again") from cause
    dataset = Dataset(name=name, classes=classes, input_shape=shape, scaling=scaling, **parts)
    for part in SPLITS:
        check_split(f"{path}, {part}", parts[part], dataset.features, classes)
    return dataset


def _scaling(stored: dict[str, list[float]]) -> Scaling:
    offset, scale = (tuple(float(value) for value in stored[key]) for key in ("offset", "scale"))
    return Scaling(offset, scale)


def check_split(where: str, split: Split, features: int, classes: int | None = None) -> None:
    """Check types, shapes and, where the number of classes is known, labels of one split.

    Raises `DataError`: with `where` in front, says what does not fit.
    """
    x, y = split.x, split.y
    if x.dtype != np.uint8 or y.dtype != np.int64:
        raise DataError(f"{where}: x is {x.dtype} and y {y.dtype}; give uint8 and int64")
    if x.ndim != 2 or x.shape[1] != features:
        raise DataError(f"{where}: x has shape {x.shape}; give (samples, {features})")
    if y.shape[:1] != (len(x),) or not len(x):
        raise DataError(f"{where}: {len(x)} samples but labels of shape {y.shape}; give one label a sample")
    if classes is not None and y.ndim == 1 and (y.min() < 0 or y.max() >= classes):
        row = int(np.argmax((y < 0) | (y >= classes)))
        raise DataError(f"{where}: sample {row} has label {y[row]}; labels are 0 to {classes - 1}")
