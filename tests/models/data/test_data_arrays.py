"""numpy's files that lie: refused by their header, before any memory is taken."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common.errors import DataError
from models.data.arrays import npz_headers, read_npy, read_npz_arrays

X = np.arange(12, dtype=np.uint8).reshape(3, 4)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text.encode()


def shaped(shape: str, descr: str = "'|u1'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")


def packed(path: Path, content: bytes, flags: int = 0, method: int | None = None) -> Path:
    """An archive with one member, whose general flags and method of packing are then changed."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    raw = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.index(mark) + place
        raw[at] |= flags
        raw[at + 2] = raw[at + 2] if method is None else method
    path.write_bytes(raw)
    return path


BAD = {
    "huge": (shaped("(1000000000000, 8)"), r"take 8000000000000 bytes, 0 are there"),
    "beyond 64 bits": (shaped(f"({2**40}, {2**40})"), r"bytes, 0 are there"),
    "negative": (shaped("(-1, 8)"), r"its shape is \(-1, 8\)"),
    "many sides": (shaped(str((1,) * 60)), r"its shape is"),
    "cut off": (npy(X)[:-1], r"take 12 bytes, 11 are there"),
    "longer": (npy(X) + b"x", r"take 12 bytes, 13 are there"),
    "broken header": (header("{'descr': [[[], "), "cannot be read"),
    "deep header": (header("[" * 900), "cannot be read"),
    "no shape": (shaped("3"), "cannot be read"),
    "unknown type": (shaped("(3,)", "'zz'"), "cannot be read"),
    "array of arrays": (shaped("(3,)", "('|u1', (10000000000,))"), "cannot be read"),
    "objects": (npy(np.array([None])), "holds object, not numbers"),
    "fields": (npy(np.zeros(3, [("a", "u1")])), "not numbers"),
    "dates": (npy(np.zeros(3, "M8[s]")), "not numbers"),
    "version": (header("{}", (9, 0)), r"version \(9, 0\)"),
    "text": (b"no array at all", ""),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_are_none(case: str, tmp_path: Path) -> None:
    content, message = BAD[case]
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=f"x.npy.*{message}"):
        read_npy(tmp_path / "x.npy")
    archive = packed(tmp_path / "x.npz", content)
    for read in (read_npz_arrays, npz_headers):
        with pytest.raises(DataError, match=f"x.npz.*{message}"):
            read(archive, ["x"])


def test_archives_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x: is encrypted"):
        read_npz_arrays(packed(tmp_path / "a.npz", npy(X), flags=1), ["x"])
    with pytest.raises(DataError, match="x: is packed by method 99, which is unknown"):
        read_npz_arrays(packed(tmp_path / "a.npz", npy(X), method=99), ["x"])
    damaged = packed(tmp_path / "a.npz", npy(X))
    damaged.write_bytes(damaged.read_bytes().replace(X.tobytes(), bytes(12)))
    with pytest.raises(DataError, match=r"cannot be read \(Bad CRC-32"):
        read_npz_arrays(damaged, ["x"])


def test_more_than_the_machine_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.npy").write_bytes(npy(X))
    monkeypatch.setattr("models.data.arrays._memory", lambda: 11)
    with pytest.raises(DataError, match="this machine has 0 GB of memory"):
        read_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("array", [X, X.astype(">i4"), X[:0], np.asfortranarray(X * 1.5), np.float32(3)])
def test_arrays(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", x=array)
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        found = read_npy(path)
        np.testing.assert_array_equal(found, array)
        assert found.dtype.isnative
    np.savez(tmp_path / "x.npz", x=array, y=array)
    assert list(read_npz_arrays(tmp_path / "x.npz", ["x", "z"])) == ["x"]
    assert npz_headers(tmp_path / "x.npz", ["y"])["y"].shape == np.shape(array)
    with pytest.raises(DataError, match="holds arrays x, y; give a file with one"):
        read_npy(tmp_path / "x.npz")
