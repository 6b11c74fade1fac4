"""numpy's files, `.npy` and `.npz`: what the header says is checked before memory is taken.

Plain arrays of numbers only: no pickles, no fields, nothing that the file is too short for.
"""

import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from common.errors import DataError

NUMBERS = "biufc"
"""Kinds of dtype that are numbers."""

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1
# Version 3.0 is for names of fields, which no plain array has.
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_SUFFIX = ".npy"

_FAILURES = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # of zipfile, for an archive that is encrypted; RecursionError of numpy's header
    OverflowError,
    MemoryError,
    SyntaxError,
    TypeError,
    KeyError,
    AttributeError,
    TokenError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""What numpy and zipfile raise on files that are damaged, or made to harm."""


@dataclass(frozen=True)
class Header:
    """What a file says of its array, before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an `.npy` file, or the only one of an `.npz` file; raises `DataError`."""
    with _failures(path):
        with path.open("rb") as file:
            plain = file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
        if not plain:
            if not zipfile.is_zipfile(path):
                raise DataError(f"{path}: is empty, or neither .npy nor .npz; write it with numpy.save")
            names = list(_members(path))
            if len(names) != 1:
                raise DataError(f"{path}: holds arrays {', '.join(names) or '(none)'}; give a file with one")
            return read_npz_arrays(path, names)[names[0]]
        with path.open("rb") as file:
            _checked(f"{path}", file, path.stat().st_size)
            file.seek(0)
            return _read(file)


def read_npz_arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an `.npz` file holds, in native byte order; raises `DataError`."""
    headers = npz_headers(path, names)
    arrays = {}
    with _failures(path), zipfile.ZipFile(path) as archive:
        for name in headers:
            with archive.open(_members(path)[name]) as file:
                arrays[name] = _read(file)
    return arrays


def npz_headers(path: Path, names: Collection[str]) -> dict[str, Header]:
    """What an `.npz` file says of those of the named arrays that it holds; raises `DataError`."""
    with _failures(path):
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: is missing, truncated, or no .npz file; write it with numpy.savez")
        headers = {}
        with zipfile.ZipFile(path) as archive:
            for name, info in _members(path).items():
                if name in names:
                    _check_member(f"{path}, {name}", info)
                    with archive.open(info) as file:
                        headers[name] = _checked(f"{path}, {name}", file, info.file_size)
        return headers


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an archive by their names."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}


def _check_member(where: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"{where}: is encrypted; write it with numpy.savez")
    if info.compress_type not in PACKINGS:
        raise DataError(
            f"{where}: is packed by method {info.compress_type}, which is unknown; write it with numpy.savez"
        )


def _checked(where: str, file: IO[bytes], size: int) -> Header:
    """The header at the start of a file of so many bytes, which it has to fit; raises `DataError`."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise DataError(f"{where}: version {version} of numpy's format; write it again, as plain numbers")
    shape, _, dtype = _HEADERS[version](file)
    header = Header(shape, dtype)
    if dtype.kind not in NUMBERS:
        raise DataError(f"{where}: holds {dtype}, not numbers; give plain arrays")
    if any(side < 0 for side in shape) or len(shape) > 8:
        raise DataError(f"{where}: its shape is {shape}; give plain arrays")
    if header.size != size - file.tell():
        raise DataError(
            f"{where}: {dtype} of shape {shape} take {header.size} bytes, {size - file.tell()} are there;"
            " write it again"
        )
    if header.size > _memory():
        raise DataError(
            f"{where}: {header.size >> 30} GB, this machine has {_memory() >> 30} GB of memory; give less"
        )
    return header


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _read(file: IO[bytes]) -> NDArray[Any]:
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _FAILURES as cause:
        reason = " ".join(str(cause).split())
        raise DataError(
            f"{path}: cannot be read ({reason:.200}); write plain arrays with numpy.save or numpy.savez"
        ) from cause
