"""The bytes of the serial link: a buffer for a frame, their CRC, and the way to a core's words and back."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

CRC_BITS = 32
POLYNOMIAL = 0xEDB88320  # 0x04C11DB7, least significant bit first
BYTE_CYCLES = 8
"""Cycles from one byte of the CRC to the next, at least; on the line it is 40 or more."""


class Buffer(wiring.Component):  # type: ignore[misc]
    """A FIFO with room for `depth` bytes; Amaranth's FIFOs take twice its logic cells on an iCE40.

    A byte is written in a cycle with `write`, unless the buffer is `full`, and can be read two cycles later.
    `clear` empties it.
    """

    def __init__(self, depth: int) -> None:
        self._depth = max(depth, 2)  # a memory of one row has no address
        super().__init__(
            {"data": In(8), "write": In(1), "full": Out(1), "clear": In(1), "bytes": Out(stream.Signature(8))}
        )

    def elaborate(self, platform: Any) -> Module:
        """Two pointers; each has a bit that flips with every round, to distinguish full from empty."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=self._depth, init=[])
        writing, reading = memory.write_port(), memory.read_port()
        written, taken = Signal(range(self._depth)), Signal(range(self._depth))
        lap, taken_lap = Signal(), Signal()
        met = written == taken
        m.d.comb += [
            self.full.eq(met & (lap != taken_lap)),
            writing.addr.eq(written),
            writing.data.eq(self.data),
            writing.en.eq(self.write & ~self.full),
            reading.addr.eq(taken),
            reading.en.eq((~self.bytes.valid | self.bytes.ready) & ~(met & (lap == taken_lap))),
            self.bytes.payload.eq(reading.data),
        ]
        with m.If(self.bytes.ready):
            m.d.sync += self.bytes.valid.eq(0)
        for pointer, round_bit, moves in ((written, lap, writing.en), (taken, taken_lap, reading.en)):
            last = pointer == self._depth - 1
            with m.If(moves):
                m.d.sync += [pointer.eq(Mux(last, 0, pointer + 1)), round_bit.eq(round_bit ^ last)]
        with m.If(reading.en):
            m.d.sync += self.bytes.valid.eq(1)
        with m.If(self.clear):
            m.d.sync += [each.eq(0) for each in (written, taken, lap, taken_lap, self.bytes.valid)]
        return m


class Crc(wiring.Component):  # type: ignore[misc]
    """CRC-32 of the bytes since `start`, a bit a cycle; `low` is the byte that goes over the line next.

    A byte with `check` is one of the CRC itself, low byte first: it is compared, `mismatch` is set where it
    differs, and the register rotates by 8 bits. After four such bytes the register is as before, and the CRC
    can go on. `busy` is set while a byte is being processed.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "data": In(8),
                "valid": In(1),
                "check": In(1),
                "low": Out(8),
                "busy": Out(1),
                "mismatch": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Two shift registers: the byte, and the CRC, inverted at the output as the standard has it."""
        m = Module()
        byte, check = Signal(8), Signal()
        crc = Signal(CRC_BITS, init=-1)
        count = Signal(4)  # 8 and more: bits are left
        differs = crc[0] ^ byte[0]
        rest = crc[1:]
        m.d.comb += [self.busy.eq(count[3]), self.low.eq(~crc[:8])]
        with m.If(self.busy):
            m.d.sync += [
                byte.eq(byte >> 1),
                count.eq(count + 1),
                crc.eq(Mux(check, Cat(rest, crc[0]), rest ^ Mux(differs, POLYNOMIAL, 0))),
                self.mismatch.eq(self.mismatch | check & ~differs),
            ]
        with m.If(self.valid):
            m.d.sync += [byte.eq(self.data), check.eq(self.check), count.eq(8)]
        with m.If(self.start):
            m.d.sync += [crc.eq(-1), self.mismatch.eq(0)]
        return m


class Packer(wiring.Component):  # type: ignore[misc]
    """Bytes to words, first byte lowest."""

    def __init__(self, word_bits: int) -> None:
        super().__init__(
            {"bytes": In(stream.Signature(8)), "words": Out(stream.Signature(word_bits)), "clear": In(1)}
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
            {"words": In(stream.Signature(word_bits)), "bytes": Out(stream.Signature(8)), "clear": In(1)}
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
