"""The core's two streams: what `io.json` fixes for everyone who feeds or reads a core."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelFileError

DTYPES = ("uint8", "int8", "int16", "int32")


@dataclass(frozen=True)
class StreamFormat:
    """One valid/ready stream: `lanes` elements of `dtype` a word, element 0 in the lowest bits.

    A frame of `shape` (layout NHWC, or C alone) travels in row-major order; its number of elements is a
    multiple of `lanes`. Elements wider than a byte are little-endian.
    """

    shape: tuple[int, ...]
    dtype: str
    lanes: int

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ModelFileError(f"io.json: dtype '{self.dtype}' is none of {', '.join(DTYPES)}")
        if self.lanes < 1 or self.elements % self.lanes:
            raise ModelFileError(
                f"io.json: {self.elements} elements a frame do not fill words of {self.lanes} lanes"
            )

    @property
    def elements(self) -> int:
        """Elements a frame."""
        return int(np.prod(self.shape))

    @property
    def item_bits(self) -> int:
        """Bits an element takes on the stream."""
        return np.dtype(self.dtype).itemsize * 8

    @property
    def word_bits(self) -> int:
        """Width of `tdata` in bits."""
        return self.lanes * self.item_bits

    @property
    def words(self) -> int:
        """Words a frame."""
        return self.elements // self.lanes

    @property
    def frame_bytes(self) -> int:
        """Bytes a frame takes on a byte stream."""
        return self.elements * self.item_bits // 8

    def to_bytes(self, frames: NDArray[Any]) -> bytes:
        """Frames `(n, *shape)` as the bytes of `n` frames, one after the other."""
        return frames.astype(np.dtype(self.dtype).newbyteorder("<")).tobytes()

    def from_bytes(self, data: bytes) -> NDArray[Any]:
        """The inverse of `to_bytes`: `(n, *shape)` of `dtype`."""
        flat = np.frombuffer(data, np.dtype(self.dtype).newbyteorder("<"))
        return flat.reshape(-1, *self.shape).astype(self.dtype)


@dataclass(frozen=True)
class CoreInterface:
    """Input and output stream of a core, ports `s_axis_*` and `m_axis_*` of module `core`."""

    input: StreamFormat
    output: StreamFormat

    def save(self, path: Path) -> None:
        """Write `io.json`: what `load` reads, and what follows from it, for readers in other languages."""
        streams = {
            name: asdict(stream)
            | {
                "port": port,
                "layout": "NHWC, row-major",
                "packing": "element 0 in the lowest bits, little-endian",
                "word_bits": stream.word_bits,
                "words_per_frame": stream.words,
                "bytes_per_frame": stream.frame_bytes,
            }
            for name, port, stream in (("input", "s_axis", self.input), ("output", "m_axis", self.output))
        }
        path.write_text(json.dumps(streams, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "CoreInterface":
        """Read `io.json`; raises `ModelFileError` where it is not one."""
        try:
            raw = json.loads(path.read_text())
            streams = [
                StreamFormat(tuple(raw[key]["shape"]), raw[key]["dtype"], raw[key]["lanes"])
                for key in ("input", "output")
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path}: not an io.json ({error}); build the core again") from error
        return cls(*streams)
