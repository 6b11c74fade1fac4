"""The streams of FINN's RTL: values of any width, some to a word, words of whole bytes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import Integers


@dataclass(frozen=True)
class FinnStream:
    """A stream of FINN's RTL.

    Attributes:
        elements: a frame.
        lanes: elements a word, the first in the lowest bits.
        bits: of an element.
        signed: whether elements are signed.
    """

    elements: int
    lanes: int
    bits: int
    signed: bool

    @property
    def word_bytes(self) -> int:
        """Bytes of a word; bits above the lanes are 0."""
        return -(-self.lanes * self.bits // 8)

    @property
    def words(self) -> int:
        """Words a frame."""
        return self.elements // self.lanes

    def to_bytes(self, frames: NDArray[Any]) -> bytes:
        """Frames (n, ...) as the bytes of their words, one after the other."""
        values = frames.reshape(-1, self.lanes, 1).astype(np.int64)
        bits = (values >> np.arange(self.bits) & 1).astype(np.uint8).reshape(len(values), -1)
        return np.packbits(bits, axis=1, bitorder="little").tobytes()

    def from_bytes(self, data: bytes) -> Integers:
        """The inverse of `to_bytes`: (n, elements)."""
        words = np.frombuffer(data, np.uint8).reshape(-1, self.word_bytes)
        bits = np.unpackbits(words, axis=1, bitorder="little")[:, : self.lanes * self.bits]
        values = bits.reshape(-1, self.bits).astype(np.int64) @ (1 << np.arange(self.bits))
        if self.signed:
            values -= (values >> (self.bits - 1)) << self.bits
        return values.reshape(-1, self.elements)


def streams_of(model: Any) -> tuple[FinnStream, FinnStream]:
    """What an implemented graph takes and gives."""
    from qonnx.custom_op.registry import getCustomOp

    entry, output = model.graph.input[0].name, model.graph.output[0].name
    first, last = map(getCustomOp, (model.find_consumers(entry)[0], model.find_producer(output)))
    ends = (
        (first.get_folded_input_shape(), first.get_input_datatype()),
        (last.get_folded_output_shape(), last.get_output_datatype()),
    )
    taken, given = (
        FinnStream(int(np.prod(shape)), int(shape[-1]), datatype.bitwidth(), bool(datatype.signed()))
        for shape, datatype in ends
    )
    return taken, given
