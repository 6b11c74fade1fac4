"""Between the link's bytes and a core's words."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Packer(wiring.Component):  # type: ignore[misc]
    """Bytes to words, first byte lowest."""

    def __init__(self, word_bits: int) -> None:
        super().__init__(
            {
                "bytes": In(stream.Signature(8)),
                "words": Out(stream.Signature(word_bits)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A shift register, and a counter of the bytes in it."""
        m = Module()
        word = self.words.payload
        count = len(word) // 8
        have = Signal(range(count))
        m.d.comb += self.bytes.ready.eq(~self.words.valid | self.words.ready)
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [
                word.eq(Cat(word, self.bytes.payload)[8:]),
                self.words.valid.eq(have == count - 1),
                have.eq(Mux(have == count - 1, 0, have + 1)),
            ]
        with m.If(self.clear):
            m.d.sync += [self.words.valid.eq(0), have.eq(0)]
        return m


class Unpacker(wiring.Component):  # type: ignore[misc]
    """Words to bytes, lowest byte first; a word is taken with its last byte."""

    def __init__(self, word_bits: int) -> None:
        super().__init__(
            {
                "words": In(stream.Signature(word_bits)),
                "bytes": Out(stream.Signature(8)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A multiplexer over the waiting word: nothing of it is stored."""
        m = Module()
        count = len(self.words.payload) // 8
        index = Signal(range(count))
        last = index == count - 1
        m.d.comb += [
            self.bytes.payload.eq(self.words.payload.word_select(index, 8)),
            self.bytes.valid.eq(self.words.valid),
            self.words.ready.eq(self.bytes.ready & last),
        ]
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        with m.If(self.clear):
            m.d.sync += index.eq(0)
        return m
