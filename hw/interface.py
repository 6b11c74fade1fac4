"""The core's streams, and weights to load: what `io.json` fixes for everyone who feeds or reads a core."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from common.errors import FrameError, ModelFileError
from common.jsonfile import JsonFile

WEIGHTS = "weights.bin"
MAX_ELEMENTS = 1 << 30
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32")


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
        if not self.shape or not all(type(size) is int and 0 < size <= MAX_ELEMENTS for size in self.shape):
            raise ModelFileError(f"io.json: shape {self.shape} is no frame's; build the core again")
        if type(self.lanes) is not int or self.elements > MAX_ELEMENTS:
            raise ModelFileError(f"io.json: {self.elements} elements in {self.lanes!r} lanes; build it again")
        if self.dtype not in DTYPES:
            raise ModelFileError(f"io.json: dtype '{self.dtype}' is none of {', '.join(DTYPES)}")
        if self.lanes < 1 or self.elements % self.lanes:
            raise ModelFileError(
                f"io.json: {self.elements} elements a frame do not fill words of {self.lanes} lanes"
            )

    @property
    def elements(self) -> int:
        """Elements a frame."""
        return prod(self.shape)

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

    def require(self, frames: NDArray[Any]) -> None:
        """Raise `FrameError` where `frames` are not `(n, *shape)` of the stream's type."""
        if frames.shape[1:] != self.shape or str(frames.dtype) != self.dtype:
            raise FrameError(
                f"frames are {frames.dtype} {frames.shape[1:]}, the core takes {self.dtype} {self.shape}:"
                " give it the data of its build"
            )

    def to_bytes(self, frames: NDArray[Any]) -> bytes:
        """Frames `(n, *shape)` as the bytes of `n` frames, one after the other."""
        return frames.astype(np.dtype(self.dtype).newbyteorder("<")).tobytes()

    def from_bytes(self, data: bytes) -> NDArray[Any]:
        """The inverse of `to_bytes`: `(n, *shape)` of `dtype`."""
        flat = np.frombuffer(data, np.dtype(self.dtype).newbyteorder("<"))
        return flat.reshape(-1, *self.shape).astype(self.dtype)


@dataclass(frozen=True)
class WeightsFormat:
    """What `weights.bin` holds: 16-bit words, little-endian, for columns of single-port RAM one by one.

    The core takes a word in every cycle in which `load_valid` is set: `load_data` goes to `load_address` of
    column `load_column`. It has to be done after configuration, while the core is in reset, which keeps it.
    Out of reset, a core begins with the padding of its first frame.

    Attributes:
        columns: words of each column.
        crc32: of the file, as `zlib.crc32` has it.
    """

    columns: tuple[int, ...]
    crc32: int

    def __post_init__(self) -> None:
        if not self.columns or not all(0 < words <= MAX_ELEMENTS for words in self.columns):
            raise ModelFileError(f"io.json: columns of {self.columns} words; build the core again")

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return 2 * sum(self.columns)

    @property
    def address_bits(self) -> int:
        """Width of `load_address`."""
        return max(1, (max(self.columns) - 1).bit_length())

    @property
    def column_bits(self) -> int:
        """Width of `load_column`."""
        return max(1, (len(self.columns) - 1).bit_length())

    def check(self, weights: bytes) -> None:
        """Raise `ModelFileError` where `weights` are not the core's."""
        if len(weights) != self.size or zlib.crc32(weights) != self.crc32:
            raise ModelFileError(
                f"{WEIGHTS}: {len(weights)} bytes of CRC-32 {zlib.crc32(weights):08x}, the core takes"
                f" {self.size} of {self.crc32:08x}; give the file that was made with this core"
            )

    def pairs(self, weights: bytes) -> NDArray[np.uint32]:
        """The file as (words, 2): where each goes, the column above the address, and the word itself.

        Raises `ModelFileError` where `weights` are not the core's.
        """
        self.check(weights)
        where = [
            (column << self.address_bits) + np.arange(words) for column, words in enumerate(self.columns)
        ]
        return np.stack([np.concatenate(where), np.frombuffer(weights, "<u2")], axis=1).astype(np.uint32)


@dataclass(frozen=True)
class Affine:
    """What value an integer stands for: `value = scale * integer + offset`.

    Attributes:
        scale: of a step.
        offset: the value of 0.
    """

    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class CoreInterface:
    """Input and output stream of a core, ports `s_axis_*` and `m_axis_*` of module `core`.

    Attributes:
        input, output: the streams.
        weights: what it has to be loaded with through ports `load_*`, if anything.
        input_values: what the bytes stand for, all alike or in turn: element i by number i modulo their
            count, which is the channel's where there is one for each.
        output_values: what the outputs stand for; None where they are labels.
        decoding: how a user decodes outputs, as the build's task tells it.
    """

    input: StreamFormat
    output: StreamFormat
    weights: WeightsFormat | None = None
    input_values: tuple[Affine, ...] = (Affine(),)
    output_values: Affine | None = None
    decoding: Mapping[str, JsonValue] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write `io.json`: what `load` reads, and what follows from it, for readers in other languages."""
        output_values = None if self.output_values is None else (self.output_values,)
        described = IoFile(
            input=StreamEntry.of(self.input, "s_axis", self.input_values),
            output=StreamEntry.of(self.output, "m_axis", output_values),
            weights=WeightsEntry(self.weights.columns, self.weights.crc32) if self.weights else None,
            decoding=dict(self.decoding),
        )
        path.write_text(IO.text(described))

    @classmethod
    def load(cls, path: Path) -> "CoreInterface":
        """Read `io.json`; raises `ModelFileError` where it is not one."""
        found = IO.read(path)
        if not found.input.values:
            raise ModelFileError(f"{path}: input.values: empty; build the core again")
        weights = WeightsFormat(found.weights.columns, found.weights.crc32) if found.weights else None
        taken, given = (
            StreamFormat(each.shape, each.dtype, each.lanes) for each in (found.input, found.output)
        )
        output_values = found.output.values[0] if found.output.values else None
        return cls(taken, given, weights, found.input.values, output_values, found.decoding)


@dataclass(frozen=True)
class StreamEntry:
    """A stream of the core.

    Attributes:
        shape: of a frame, (height, width, channels) or (features,).
        dtype: numpy's name of an element's type.
        lanes: elements a word.
        port: the prefix of its ports in `core.v`.
        layout: the order of a frame's elements.
        packing: the order of elements in a word.
        word_bits: width of `tdata`, in bits.
        words_per_frame: words that make a frame.
        bytes_per_frame: the same in bytes, on a byte stream.
        values: what an integer stands for: one for all, or in turn, one for each channel.
    """

    shape: tuple[int, ...]
    dtype: str
    lanes: int
    port: str = ""
    layout: str = ""
    packing: str = ""
    word_bits: int = 0
    words_per_frame: int = 0
    bytes_per_frame: int = 0
    values: tuple[Affine, ...] | None = None

    @classmethod
    def of(cls, stream: StreamFormat, port: str, values: tuple[Affine, ...] | None) -> "StreamEntry":
        """A stream on ports `port`, and what its integers stand for."""
        return cls(
            stream.shape,
            stream.dtype,
            stream.lanes,
            port,
            layout="NHWC, row-major",
            packing="element 0 in the lowest bits, little-endian",
            word_bits=stream.word_bits,
            words_per_frame=stream.words,
            bytes_per_frame=stream.frame_bytes,
            values=values,
        )


@dataclass(frozen=True)
class WeightsEntry:
    """What has to be loaded into the core before it works.

    Attributes:
        columns: 16-bit words of each column of single-port RAM.
        crc32: of the file, as `zlib.crc32` has it.
        file: its name.
        port: the prefix of its ports in `core.v`.
    """

    columns: tuple[int, ...]
    crc32: int
    file: str = "weights.bin"
    port: str = "load"


@dataclass(frozen=True)
class IoFile:
    """How to feed and read the core.

    Attributes:
        input: the stream that it takes.
        output: the stream that it gives.
        weights: what it has to be loaded with; left out where all is in the bitstream.
        decoding: how outputs are decoded, by the build's task; empty where the core gives labels.
    """

    input: StreamEntry
    output: StreamEntry
    weights: WeightsEntry | None = None
    decoding: dict[str, JsonValue] = field(default_factory=dict)


IO = JsonFile("io.json", IoFile, ("compile",), ModelFileError)


def load_weights(folder: Path, interface: CoreInterface) -> bytes:
    """What has to be loaded into the core of a built `folder`, nothing where all is in its bitstream.

    Raises `ModelFileError` where the file is missing or another core's.
    """
    if interface.weights is None:
        return b""
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{folder / WEIGHTS}: {error.strerror}, and the core's weights are in it; build the core again"
        ) from error
    interface.weights.check(weights)
    return weights
