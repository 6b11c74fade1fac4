"""CIFAR-10 and CIFAR-100, binary version: records of labels and three colour planes of 32 by 32 pixels.

Format: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import DataError
from models.data.samples import Samples, Source, samples

SIDE = 32
PLANES = 3
PIXELS = PLANES * SIDE * SIDE
READ_SIZE = 2**20
MAX_BYTES = 2**28
"""Of the plain archive; those that are published have 178 and 185 MB."""


@dataclass(frozen=True)
class Cifar:
    """One of the two sets; the last of a record's `labels` bytes is the class (CIFAR-100: the fine one)."""

    classes: int
    labels: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    archive: str

    @property
    def names(self) -> tuple[str, ...]:
        """All files of the set."""
        return (*self.train, *self.test)


CIFAR10 = Cifar(
    classes=10,
    labels=1,
    train=tuple(f"data_batch_{index}.bin" for index in range(1, 6)),
    test=("test_batch.bin",),
    archive="cifar-10-binary.tar.gz",
)
CIFAR100 = Cifar(
    classes=100, labels=2, train=("train.bin",), test=("test.bin",), archive="cifar-100-binary.tar.gz"
)


def find_cifar(kind: Cifar, folder: Path) -> dict[str, Path]:
    """The set's `.bin` files in `folder`, or else its archive as published, by name.

    Raises `DataError`: names what is missing.
    """
    found = {name: folder / name for name in kind.names if (folder / name).is_file()}
    if len(found) == len(kind.names):
        return found
    archive = folder / kind.archive
    if archive.is_file():
        return {kind.archive: archive}
    missing = next(name for name in kind.names if name not in found)
    raise DataError(
        f"{folder}: no {missing} inside; give the folder that holds the .bin files or {kind.archive}"
    )


def read_cifar(kind: Cifar, paths: Mapping[str, Path]) -> Source:
    """Read images (n, 32, 32, 3) from what `find_cifar` found.

    Raises `DataError`: a file or the archive is damaged, or a label is out of range.
    """
    if kind.archive in paths:
        contents = _unpack(kind, paths[kind.archive])
    else:
        contents = {f"{path}": _read(path) for path in paths.values()}
    parts = dict(zip(kind.names, (_records(kind, *item) for item in contents.items()), strict=True))
    return Source(
        kind.classes, _join([parts[name] for name in kind.train]), _join([parts[name] for name in kind.test])
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise DataError(f"{path}: cannot be read ({cause.strerror}); get the file again") from cause


def _unpack(kind: Cifar, path: Path) -> dict[str, bytes]:
    """Contents of the set's files in the archive, in the order of `kind.names`."""
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in kind.names and member.isfile():
                    file = archive.extractfile(member)
                    found[name] = file.read(MAX_BYTES) if file else b""
                if content.tell() > MAX_BYTES:
                    break
            # The checksum is behind the end of the tar archive.
            while content.tell() <= MAX_BYTES and content.read(READ_SIZE):
                pass
            if content.tell() > MAX_BYTES:
                raise DataError(f"{path}: holds more than {MAX_BYTES >> 20} MB; get the file again")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as cause:
        raise DataError(f"{path}: cannot be read ({cause}); get the file again") from cause
    for name in kind.names:
        if name not in found:
            raise DataError(f"{path}: no {name} inside; get the file again")
    return {f"{path}, {name}": found[name] for name in kind.names}


def _records(kind: Cifar, where: str, content: bytes) -> Samples:
    size = kind.labels + PIXELS
    if not content or len(content) % size:
        raise DataError(f"{where}: {len(content)} bytes are not whole records of {size}; get the file again")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    planes = records[:, kind.labels :].reshape(-1, PLANES, SIDE, SIDE)
    return samples(where, planes.transpose(0, 2, 3, 1), records[:, kind.labels - 1], kind.classes)


def _join(parts: list[Samples]) -> Samples:
    return Samples(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
