"""A buffer for the bytes of a frame: Amaranth's FIFOs take twice its logic cells on an iCE40."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Buffer(wiring.Component):  # type: ignore[misc]
    """A FIFO with room for `depth` bytes, in a memory whose read port keeps what it gave.

    A byte is written in a cycle with `write`, unless the buffer is `full`, and can be read two cycles later.
    `clear` empties it.
    """

    def __init__(self, depth: int) -> None:
        self._depth = max(depth, 2)  # a memory of one row has no address
        super().__init__(
            {
                "data": In(8),
                "write": In(1),
                "full": Out(1),
                "clear": In(1),
                "bytes": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Two pointers; each has a bit that flips with every round, which tells full from empty."""
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
