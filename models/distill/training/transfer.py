"""The transfer set (arXiv:1503.02531): what students learn from, with the teacher's logits, cached once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, DataError
from models.data import Split, check_split
from models.tensorfile import Tensors, read_tensors, write_tensors

KIND = "transfer set"
MAX_VIEWS = 25


@dataclass(frozen=True, eq=False)
class TransferSet:
    """Training samples and what each member of the teacher makes of them.

    Attributes:
        split: uint8 (n, features) with labels; the training split, then its other views.
        logits: float32 (members, n, classes), before any softening, so that they serve every temperature.
    """

    split: Split
    logits: NDArray[np.float32]

    def rows(self, rows: NDArray[Any]) -> "TransferSet":
        """Keep the samples that `rows`, indices or flags, select."""
        split = Split(self.split.x[rows], self.split.y[rows])
        return TransferSet(split, np.ascontiguousarray(self.logits[:, rows]))

    def part(self, samples: int | None, seed: int) -> "TransferSet":
        """Draw `samples` of them, the same for the same seed; all of them where it is None."""
        count = len(self.split)
        if samples is None or samples >= count:
            return self
        return self.rows(np.sort(np.random.default_rng(seed).choice(count, samples, replace=False)))


def check_views(input_shape: tuple[int, ...], views: int, mirror: bool = False) -> None:
    """Check that samples of a shape have so many views.

    Raises `ConfigError`: fewer than 1 or more than 25 shifts, shifts that leave nothing, several views of
    what is no image or series, or mirror images of series.
    """
    shifts = -(-views // 2) if mirror else views
    if not 1 <= shifts <= MAX_VIEWS:
        raise ConfigError(f"teacher: views is {views}; give 1 to {MAX_VIEWS * (2 if mirror else 1)}")
    if views == 1:
        return
    if len(input_shape) != 3:
        raise ConfigError(
            f"teacher: views is {views}, but a sample has shape {input_shape}; only "
            "images (height, width, channels) and series (time, 1, channels) can be shifted, give 1"
        )
    if mirror and input_shape[1] == 1:
        raise ConfigError("teacher: series have no mirror image; set mirror to false")
    offsets = _offsets(input_shape[1])[:shifts]
    if any(abs(dy) >= input_shape[0] or abs(dx) >= input_shape[1] for dy, dx in offsets):
        raise ConfigError(f"teacher: views is {views}, too many for samples of {input_shape[:2]}; give less")


def shifted_views(split: Split, input_shape: tuple[int, ...], views: int, mirror: bool = False) -> Split:
    """Stack `views` copies of the split, each shifted by whole pixels: (views * n, features).

    The first view is the split itself, the next four are shifted by one pixel up, down, left and right, then
    follow the diagonals, and so on outwards to two pixels. What is shifted in is 0. With `mirror`, each shift
    gives two views, the shifted images and then their mirror images. Series (time, 1, channels) are shifted
    in time: by one step to earlier and to later, then by two, and so on.

    Raises `ConfigError`: see `check_views`.
    """
    check_views(input_shape, views, mirror)
    if views == 1:
        return split
    images = split.x.reshape(len(split), *input_shape)
    offsets = _offsets(input_shape[1])
    stacked = np.zeros((views, *images.shape), np.uint8)
    for index, view in enumerate(stacked):
        dy, dx = offsets[index // 2 if mirror else index]
        _shift(images, dy, dx, view[:, :, ::-1] if mirror and index % 2 else view)
    return Split(stacked.reshape(views * len(split), -1), np.tile(split.y, views))


def save(transfer: TransferSet, path: Path) -> None:
    """Write the transfer set to one safetensors file."""
    tensors: Tensors = {"x": transfer.split.x, "y": transfer.split.y, "logits": transfer.logits}
    write_tensors(path, KIND, {}, tensors)


def load(path: Path) -> TransferSet:
    """Read what `save` wrote.

    Raises `DataError`: the file is missing, truncated, or its arrays do not fit each other.
    """
    _, tensors = read_tensors(path, KIND, DataError)
    missing = {"x", "y", "logits"} - tensors.keys()
    if missing:
        raise DataError(f"{path}: no {', '.join(sorted(missing))} inside; make the transfer set again")
    split, logits = Split(tensors["x"], tensors["y"]), tensors["logits"]
    fits = split.x.ndim == 2 and logits.ndim == 3 and logits.shape[1] == len(split.x)
    if not fits or logits.dtype != np.float32:
        raise DataError(
            f"{path}: logits {logits.dtype} {logits.shape} for samples {split.x.shape}; "
            "make the transfer set again"
        )
    check_split(str(path), split, split.x.shape[-1])
    return TransferSet(split, logits)


def _offsets(width: int) -> list[tuple[int, int]]:
    """The shifts (down, right), from the nearest to the farthest; there are `MAX_VIEWS`."""
    if width == 1:
        reach = MAX_VIEWS // 2
        grid = [(step, 0) for step in range(-reach, reach + 1)]
    else:
        grid = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    return sorted(grid, key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset))


def _shift(images: NDArray[np.uint8], dy: int, dx: int, out: NDArray[np.uint8]) -> None:
    """Put `images` (n, height, width, channels) into `out` of zeros, `dy` rows down, `dx` columns right."""
    height, width = images.shape[1:3]
    source = images[:, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    out[:, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = source
