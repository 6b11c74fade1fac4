"""Images of several objects with their boxes, made of the images of a classification data set.

Everything is drawn from a seed and computed in integers: the same seed gives the same bytes anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from common.errors import ConfigError, DataError
from common.settings import check_settings
from models.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.data import Split

NONE = -1
"""In place of the class of an object that is not there."""

TRIES = 20
"""Corners that are tried for an object before it is left out."""

OVERLAP = 0.1
"""Of the smaller of two boxes, what both may share."""

INK = 4
"""An object is where an image is brighter than its greatest value over this."""


Pixels = Annotated[int, Ge(4), Le(1024)]


@dataclass(frozen=True)
class SceneConfig:
    """What scenes look like.

    Attributes:
        side: pixels each way.
        smallest, largest: sides to which images are scaled, drawn evenly.
        most: objects a scene, from 1 on, drawn evenly.
        noise: greatest value of the noise, drawn evenly for each value; seen where no object is brighter.

    Raises `ConfigError`: a size out of range, or scenes too small for their objects.
    """

    side: Pixels = 24
    smallest: Pixels = 8
    largest: Pixels = 12
    most: Annotated[int, Ge(1), Le(100)] = 3
    noise: Annotated[int, Ge(0), Le(255)] = 32

    def __post_init__(self) -> None:
        check_settings(self, "task")
        if self.smallest > self.largest:
            raise ConfigError(
                f"task: smallest is {self.smallest}, largest {self.largest}; give the lesser first"
            )
        if self.side < self.largest:
            raise ConfigError(
                f"task: side is {self.side}, too small for objects of {self.largest} pixels; give larger"
                " scenes or smaller objects"
            )


def check_images(shape: tuple[int, ...]) -> None:
    """Check that samples of a shape are images. Raises `ConfigError`: they are not."""
    if len(shape) != 3 or min(shape[:2]) < 2:
        raise ConfigError(f"task: detection composes scenes of images; samples of {shape} are none")


def make_scenes(
    split: Split, shape: tuple[int, ...], config: SceneConfig, count: int, seed: int | list[int]
) -> Split:
    """Make `count` scenes of the images of `split`, uint8 (n, features) of `shape`.

    Gives scenes uint8 (count, side^2 * channels) with their objects int64 (count, most, 5): class, left, top,
    right, bottom (the last two behind the object); class `NONE` where there is none. Brightness is stretched
    to 0..255. An object that finds no free place is left out, never the first.

    Raises `ConfigError`: samples are no images. Raises `DataError`: no image has an object.
    """
    from models.data import Split

    check_images(shape)
    images = split.x.reshape(-1, *shape).astype(np.int64)
    greatest = int(images.max(initial=0))
    rows = np.flatnonzero(images.reshape(len(images), -1).max(axis=1) * INK > greatest)
    if not len(rows):
        raise DataError("scenes: all images are dark; give a data set with objects")
    images = images[rows] * 255 // greatest
    rng = np.random.default_rng(seed)
    x, objects = zip(*(_scene(images, split.y[rows], config, rng) for _ in range(count)), strict=True)
    return Split(np.stack(x).reshape(count, -1).astype(np.uint8), np.stack(objects))


def _scene(
    images: NDArray[np.int64], y: NDArray[np.int64], config: SceneConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One scene (side, side, channels), and its objects (most, 5)."""
    canvas = rng.integers(0, config.noise + 1, (config.side, config.side, images.shape[3]))
    objects = np.zeros((config.most, 5), np.int64)
    objects[:, 0] = NONE
    placed = 0
    for _ in range(int(rng.integers(1, config.most + 1))):
        row, size = int(rng.integers(len(images))), int(rng.integers(config.smallest, config.largest + 1))
        patch = resized(images[row], size)
        box = _ink(patch)
        for corner in rng.integers(0, config.side - size + 1, (TRIES, 2)):
            moved = box + np.tile(corner, 2)
            if all(_shared(moved, other) <= OVERLAP for other in objects[:placed, 1:]):
                left, top = corner
                under = canvas[top : top + size, left : left + size]
                np.maximum(under, patch, out=under)
                objects[placed] = [y[row], *moved]
                placed += 1
                break
    return canvas, objects


def resized(image: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Scale an image (height, width, channels) to (size, size, channels), bilinear, in 1/256 of a pixel."""
    for axis in (0, 1):
        last = image.shape[axis] - 1
        # Centres of the new pixels among the old, in 1/256.
        at = ((2 * np.arange(size) + 1) * 128 * (last + 1) // size - 128).clip(0, last * 256)
        low, part = at >> 8, at & 255
        part = part.reshape([-1 if each == axis else 1 for each in range(3)])
        first, second = image.take(low, axis), image.take(np.minimum(low + 1, last), axis)
        image = (first * (256 - part) + second * part + 128) >> 8
    return image


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
