"""The transfer set (arXiv:1503.02531): what students learn from, with the teacher's logits, cached once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import Split, check_split
from models.tensorfile import Tensors, read_tensors, write_tensors
from pipeline.errors import ConfigError, DataError

KIND = "transfer set"
MAX_VIEWS = 25


@dataclass(frozen=True, eq=False)
class TransferSet:
    """Training samples and what each member of the teacher makes of them.

    Attributes:
        split: uint8 (n, features) with labels; the training split, then its shifted views.
        logits: float32 (members, n, classes), before any softening, so that they serve every temperature.
    """

    split: Split
    logits: NDArray[np.float32]


def shifted_views(split: Split, input_shape: tuple[int, ...], views: int) -> Split:
    """Stack `views` copies of the split, each shifted by whole pixels: (views * n, features).

    The first view is the split itself, the next four are shifted by one pixel up, down, left and right, then
    follow the diagonals, and so on outwards to two pixels. What is shifted in is 0.

    Raises:
        ConfigError: fewer than 1 or more than 25 views, or several views of what is not an image.
    """
    if not 1 <= views <= MAX_VIEWS:
        raise ConfigError(f"teacher: views is {views}; give 1 to {MAX_VIEWS}")
    if views > 1 and len(input_shape) != 3:
        raise ConfigError(
            f"teacher: views is {views}, but a sample has shape {input_shape}; only "
            "images (height, width, channels) can be shifted, give 1"
        )
    if views == 1:
        return split
    steps = range(-2, 3)
    offsets = sorted(((dy, dx) for dy in steps for dx in steps), key=lambda o: (o[0] ** 2 + o[1] ** 2, o))
    images = split.x.reshape(len(split), *input_shape)
    stacked = np.concatenate([_shift(images, dy, dx) for dy, dx in offsets[:views]])
    return Split(stacked.reshape(views * len(split), -1), np.tile(split.y, views))


def save(transfer: TransferSet, path: Path) -> None:
    """Write the transfer set to one safetensors file."""
    tensors: Tensors = {"x": transfer.split.x, "y": transfer.split.y, "logits": transfer.logits}
    write_tensors(path, KIND, {}, tensors)


def load(path: Path) -> TransferSet:
    """Read what `save` wrote.

    Raises:
        DataError: the file is missing, truncated, or its arrays do not fit each other.
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
    check_split(str(path), split, split.x.shape[-1], logits.shape[2])
    return TransferSet(split, logits)


def _shift(images: NDArray[np.uint8], dy: int, dx: int) -> NDArray[np.uint8]:
    """Shift `images` (n, height, width, channels) by `dy` rows down and `dx` columns right."""
    height, width = images.shape[1:3]
    shifted = np.zeros_like(images)
    if abs(dy) < height and abs(dx) < width:
        source = images[:, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
        shifted[:, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = source
    return shifted
