"""IDX files, the format of MNIST and Fashion-MNIST (arXiv:1708.07747): a big-endian header, then uint8."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.samples import Samples, Source, samples

UINT8 = 0x08
MAX_BYTES = 1 << 32
CLASSES = 10
IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
NAMES = tuple(names[part] for part in ("train", "test") for names in (IMAGES, LABELS))


def find_idx(folder: Path) -> dict[str, Path]:
    """The four files of `folder` by their plain names; each may be plain or gzipped (`.gz`).

    Raises `DataError`: names the one that is missing.
    """
    found = {}
    for name in NAMES:
        candidates = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if not candidates:
            raise DataError(
                f"{folder}: no {name} or {name}.gz inside; give the folder that holds the four IDX files"
            )
        found[name] = candidates[0]
    return found


def read_images(paths: dict[str, Path], contents: dict[str, str] | None = None) -> Source:
    """Read images (n, height, width, 1) with labels 0 to 9 from the files that `find_idx` found.

    Args:
        paths: the four files.
        contents: SHA-256 of each file's plain content, where it is to be just that.

    Raises `DataError`: a file is damaged or another one than expected, or images and labels do not fit.
    """
    parts: dict[str, Samples] = {}
    for part in ("train", "test"):
        x, y = (
            read_idx(paths[names[part]], dimensions, (contents or {}).get(names[part]))
            for names, dimensions in ((IMAGES, 3), (LABELS, 1))
        )
        parts[part] = samples(str(paths[LABELS[part]]), x[..., None], y, CLASSES)
    train, test = parts["train"], parts["test"]
    if train.x.shape[1:] != test.x.shape[1:]:
        raise DataError(
            f"{paths[IMAGES['test']]}: images of {test.x.shape[1:3]}, but {train.x.shape[1:3]} to train "
            "on; give files of one data set"
        )
    return Source(CLASSES, train, test)


def read_idx(path: Path, dimensions: int, content: str | None = None) -> NDArray[np.uint8]:
    """Read one file of uint8 values with that many dimensions, checking the SHA-256 of its plain content."""
    start = 4 + 4 * dimensions
    raw = _plain(path, start)
    if len(raw) < start:
        raise DataError(f"{path}: truncated after {len(raw)} bytes; get the file again")
    zero, kind, found, *shape = struct.unpack(f">HBB{dimensions}I", raw)
    if zero or kind != UINT8 or found != dimensions:
        raise DataError(
            f"{path}: starts with {raw[:4].hex()}, not {bytes((0, 0, UINT8, dimensions)).hex()}; "
            f"give an IDX file of uint8 with {dimensions} dimension{'s' if dimensions > 1 else ''}"
        )
    # One byte more than there should be tells a longer file from a whole one, however long it is.
    size = math.prod(shape)
    raw = _plain(path, start + size + 1) if size <= MAX_BYTES else raw
    if len(raw) - start != size:
        there = f"more than {size}" if len(raw) - start > size else f"{len(raw) - start}, not {size},"
        raise DataError(f"{path}: {there} bytes of values for shape {tuple(shape)}; get the file again")
    if content and hashlib.sha256(raw).hexdigest() != content:
        raise DataError(f"{path}: is not the published file; install it again, or give a folder")
    array: NDArray[Any] = np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
    return array


def _plain(path: Path, most: int) -> bytes:
    """Up to so many bytes of a file's plain content: a packed one may hold any number of them."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as cause:
        raise DataError(f"{path}: cannot be read ({cause}); get the file again") from cause
