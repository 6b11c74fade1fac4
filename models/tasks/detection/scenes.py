"""Pictures of several objects with their boxes, made of the pictures of a classification data set.

Everything is drawn from a seed and computed in integers: the same seed gives the same bytes anywhere.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, DataError
from common.tensorfile import read_tensors, write_tensors
from models.data import Split

KIND = "scenes"
NONE = -1
"""In place of the class of an object that is not there."""

TRIES = 20
"""Places that are tried for an object before it is left out."""

OVERLAP = 0.1
"""Of the smaller of two boxes, what both may share."""

INK = 4
"""An object is where a picture is brighter than its greatest value over this."""


@dataclass(frozen=True)
class SceneConfig:
    """What scenes look like.

    Attributes:
        side: pixels each way.
        smallest, largest: sides to which pictures are scaled, drawn evenly.
        most: objects a scene, from 1 on, drawn evenly.
        noise: greatest value of the noise, drawn evenly for each value; seen where no object is brighter.

    Raises:
        ConfigError: a size out of range, or scenes too small for their objects.
    """

    side: int
    smallest: int
    largest: int
    most: int = 3
    noise: int = 32

    def __post_init__(self) -> None:
        if not 4 <= self.smallest <= self.largest:
            raise ConfigError(
                f"scenes: objects of {self.smallest} to {self.largest} pixels; give at least 4, lesser first"
            )
        if self.side < self.largest:
            raise ConfigError(
                f"scenes: {self.side} pixels a side are too small for objects of {self.largest};"
                " give larger scenes or smaller objects"
            )
        if self.most < 1 or not 0 <= self.noise <= 255:
            raise ConfigError(
                f"scenes: {self.most} objects, noise {self.noise}; give at least 1 object, noise of 0 to 255"
            )

    @classmethod
    def of(cls, picture: tuple[int, ...], side: int | None = None) -> "SceneConfig":
        """Scenes three times as wide as their smallest objects: 24 pixels, or 48 for larger pictures.

        Raises:
            ConfigError: samples are no pictures, or `side` is too small.
        """
        check_pictures(picture)
        smallest = 16 if min(picture[:2]) > 16 else 8
        return cls(3 * smallest if side is None else side, smallest, smallest * 3 // 2)


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes with what is in them.

    Attributes:
        x: uint8 (n, height * width * channels).
        labels: int64 (n, most), 0 to `classes` - 1, `NONE` where there is no object.
        boxes: int64 (n, most, 4): first column and row, and those behind the last; 0 without object.
        shape: of a scene, (height, width, channels).
        classes: number of classes, background not counted.

    Raises:
        DataError: no classes, or a label beyond them.
    """

    x: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    shape: tuple[int, int, int]
    classes: int

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise DataError(f"scenes: {self.classes} classes; give at least 1")
        if self.labels.max(initial=NONE) >= self.classes or self.labels.min(initial=NONE) < NONE:
            raise DataError(
                f"scenes: labels {self.labels.min()} to {self.labels.max()} of {self.classes} classes;"
                " give the number of classes of the data set"
            )

    def __len__(self) -> int:
        return len(self.x)

    def save(self, path: Path) -> None:
        """Write the scenes to one safetensors file."""
        header = {"shape": self.shape, "classes": self.classes}
        write_tensors(path, KIND, header, {"x": self.x, "labels": self.labels, "boxes": self.boxes})

    @classmethod
    def load(cls, path: Path) -> "Scenes":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, truncated, or of another kind.
        """
        header, tensors = read_tensors(path, KIND, DataError)
        try:
            height, width, channels = header["shape"]
            shape = (height, width, channels)
            return cls(tensors["x"], tensors["labels"], tensors["boxes"], shape, header["classes"])
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: scenes without {error!r}; make them again") from error


def check_pictures(shape: tuple[int, ...]) -> None:
    """Check that samples of a shape are pictures.

    Raises:
        ConfigError: they are not.
    """
    if len(shape) != 3 or min(shape[:2]) < 2:
        raise ConfigError(f"scenes: samples have shape {shape}; give a build whose samples are pictures")


def make_scenes(
    split: Split, shape: tuple[int, ...], classes: int, config: SceneConfig, count: int, seed: int | list[int]
) -> Scenes:
    """Make `count` scenes of the pictures of `split`, uint8 (n, features) of `shape`.

    Brightness is stretched to 0..255. An object that finds no free place is left out, never the first.

    Raises:
        ConfigError: samples are no pictures, or no scenes are wanted.
        DataError: a label is not of `classes`, or no picture has an object.
    """
    check_pictures(shape)
    if count < 1:
        raise ConfigError(f"scenes: {count} are wanted; give at least 1")
    pictures = split.x.reshape(-1, *shape).astype(np.int64)
    greatest = int(pictures.max(initial=0))
    rows = np.flatnonzero(pictures.reshape(len(pictures), -1).max(axis=1) * INK > greatest)
    if not len(rows):
        raise DataError("scenes: all pictures are dark; give a data set with objects")
    pictures = pictures[rows] * 255 // greatest
    rng = np.random.default_rng(seed)
    drawn = [_scene(pictures, split.y[rows], config, rng) for _ in range(count)]
    x, labels, boxes = (np.stack(part) for part in zip(*drawn, strict=True))
    size = (config.side, config.side, shape[2])
    return Scenes(x.reshape(count, -1).astype(np.uint8), labels, boxes, size, classes)


def _scene(
    pictures: NDArray[np.int64], y: NDArray[np.int64], config: SceneConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One scene (side, side, channels), its labels (most,) and boxes (most, 4)."""
    canvas = rng.integers(0, config.noise + 1, (config.side, config.side, pictures.shape[3]))
    labels = np.full(config.most, NONE, np.int64)
    boxes = np.zeros((config.most, 4), np.int64)
    placed = 0
    for _ in range(int(rng.integers(1, config.most + 1))):
        row, size = int(rng.integers(len(pictures))), int(rng.integers(config.smallest, config.largest + 1))
        patch = resized(pictures[row], size)
        box = _ink(patch)
        for place in rng.integers(0, config.side - size + 1, (TRIES, 2)):
            moved = box + np.tile(place, 2)
            if all(_shared(moved, other) <= OVERLAP for other in boxes[:placed]):
                left, top = place
                under = canvas[top : top + size, left : left + size]
                np.maximum(under, patch, out=under)
                labels[placed], boxes[placed] = y[row], moved
                placed += 1
                break
    return canvas, labels, boxes


def resized(picture: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Scale a picture (height, width, channels) to (size, size, channels), bilinear, in 1/256 of a pixel."""
    for axis in (0, 1):
        last = picture.shape[axis] - 1
        # Centres of the new pixels among the old, in 1/256.
        at = ((2 * np.arange(size) + 1) * 128 * (last + 1) // size - 128).clip(0, last * 256)
        low, part = at >> 8, at & 255
        part = part.reshape([-1 if each == axis else 1 for each in range(3)])
        first, second = picture.take(low, axis), picture.take(np.minimum(low + 1, last), axis)
        picture = (first * (256 - part) + second * part + 128) >> 8
    return picture


def _ink(patch: NDArray[np.int64]) -> NDArray[np.int64]:
    """The box of what is bright in a patch."""
    bright = patch.max(axis=2) * INK > patch.max()
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def _shared(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """What two boxes share, of the smaller one."""
    sides = (np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])).clip(0)
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return float(np.prod(sides) / min(areas))
