"""Augmentation on the fly: every batch is shifted, mirrored and cut at random, in uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from common.errors import ConfigError, DataError
from common.settings import check_settings
from models.lazy import np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Images: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """What happens to every sample, at random and each on its own. What moves in or is cut out is 0.

    A series (time, 1, channels) moves and is cut along time only.

    Attributes:
        shift: greatest shift up, down, left and right, in whole pixels or time steps; all are equally likely.
        mirror: swap left and right of half of the images.
        cutout: side of the square that is blanked around a pixel drawn at random (arXiv:1708.04552), in
            pixels or time steps; the edge of the image clips it; 0 for none.

    Raises `ConfigError`: a negative size.
    """

    shift: Annotated[int, Ge(0)] = 0
    mirror: bool = False
    cutout: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        check_settings(self, "augmentation")

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Check that samples of this shape can be augmented so.

        Raises `ConfigError`: says what does not fit.
        """
        if self == Augmentation():
            return
        if len(input_shape) != 3:
            raise ConfigError(
                f"augmentation: samples have shape {input_shape}; only images (height, width, channels) and "
                "series (time, 1, channels) can be augmented"
            )
        height, width, _ = input_shape
        if self.mirror and width == 1:
            raise ConfigError(
                "augmentation: mirror swaps left and right, but samples have width 1; leave it out"
            )
        side = height if width == 1 else min(height, width)
        for key in ("shift", "cutout"):
            if getattr(self, key) >= side:
                raise ConfigError(
                    f"augmentation: {key} is {getattr(self, key)} for samples of {height} by {width}; "
                    f"give less than {side}"
                )

    def apply(
        self, x: NDArray[np.uint8], input_shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Augment samples x (n, features) of `input_shape`: a new array, the same for the same generator.

        Raises `ConfigError`: the shape cannot be augmented so. Raises `DataError`: x is not uint8, or not of
        this shape.
        """
        if x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != np.prod(input_shape):
            raise DataError(
                f"augmentation: {x.dtype} of shape {x.shape}; give uint8 (samples, {np.prod(input_shape)})"
            )
        self.check(input_shape)
        if self == Augmentation():
            return x.copy()
        images = x.reshape(len(x), *input_shape)
        images = _shift(images, self.shift, rng) if self.shift else images.copy()
        if self.mirror:
            _mirror(images, rng)
        if self.cutout:
            _cut(images, self.cutout, rng)
        return images.reshape(x.shape)


def _shift(images: Images, most: int, rng: np.random.Generator) -> Images:
    count, height, width, channels = images.shape
    across = most if width > 1 else 0
    rows = rng.integers(0, 2 * most + 1, count)
    columns = rng.integers(0, 2 * across + 1, count)
    padded = np.zeros((count, height + 2 * most, width + 2 * across, channels), np.uint8)
    padded[:, most : most + height, across : across + width] = images
    # Channels are folded into the row, so that whole rows are copied.
    # (n, top, left, height, width * channels)
    lines = padded.reshape(count, height + 2 * most, (width + 2 * across) * channels)
    windows = np.lib.stride_tricks.sliding_window_view(lines, (height, width * channels), axis=(1, 2))
    shifted: Images = windows[np.arange(count), rows, columns * channels]
    return shifted.reshape(images.shape)


def _mirror(images: Images, rng: np.random.Generator) -> None:
    chosen = rng.random(len(images)) < 0.5
    images[chosen] = images[chosen][:, :, ::-1]


def _cut(images: Images, side: int, rng: np.random.Generator) -> None:
    count, height, width, channels = images.shape
    rows, columns = (_stretch(count, size, side, rng) for size in (height, width))
    kept = ~(rows[:, :, None] & columns.repeat(channels, axis=1)[:, None, :])
    lines = images.reshape(count, height, width * channels)
    lines *= kept.view(np.uint8)


def _stretch(count: int, size: int, length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where of `size` places the cut is, each around a place drawn at random: (count, size)."""
    start = rng.integers(0, size, count)[:, None] - length // 2
    at = np.arange(size)[None, :]
    return (at >= start) & (at < start + length)
