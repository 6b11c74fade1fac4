"""UART, 8 data bits, no parity, one stop bit: receiver and transmitter. `clocks_per_bit` is 4 or more."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.shells.protocol import BITS_PER_BYTE


class Receiver(wiring.Component):  # type: ignore[misc]
    """Samples each bit in its middle; a byte without a stop bit is dropped. A break may read as noise.

    `bytes` gives a byte for one cycle and does not wait: its reader must be ready.
    """

    def __init__(self, clocks_per_bit: int) -> None:
        self._clocks_per_bit = clocks_per_bit
        super().__init__({"line": In(1, init=1), "bytes": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform: Any) -> Module:
        """Synchronizer, divider, shift register: the byte is complete once its start bit is at the end."""
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        busy = Signal()
        divider = Signal(range(self._clocks_per_bit))
        shift = Signal(9)
        whole = ~shift[0]
        m.d.comb += self.bytes.payload.eq(shift[1:])
        with m.If(~busy):
            m.d.sync += [divider.eq(self._clocks_per_bit // 2 - 1), shift.eq(~0), busy.eq(~line)]
        with m.Elif(divider != 0):
            m.d.sync += divider.eq(divider - 1)
        with m.Else():
            m.d.sync += [
                divider.eq(self._clocks_per_bit - 1),
                shift.eq(Cat(shift[1:], line)),
                # Over with the stop bit, or with a start bit that was a glitch.
                busy.eq(~(whole | (shift.all() & line))),
            ]
            m.d.comb += self.bytes.valid.eq(whole & line)
        return m


class Transmitter(wiring.Component):  # type: ignore[misc]
    """Takes the next byte once the stop bit of the one before is sent."""

    def __init__(self, clocks_per_bit: int) -> None:
        self._clocks_per_bit = clocks_per_bit
        super().__init__({"bytes": In(stream.Signature(8)), "line": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        """Divider, and a shift register that keeps its stop bit."""
        m = Module()
        divider = Signal(range(self._clocks_per_bit))
        shift = Signal(BITS_PER_BYTE, init=1)
        last = shift[1:] == 0
        m.d.comb += [self.line.eq(shift[0]), self.bytes.ready.eq((divider == 0) & last)]
        with m.If(divider != 0):
            m.d.sync += divider.eq(divider - 1)
        with m.Elif(~last):
            m.d.sync += [shift.eq(shift >> 1), divider.eq(self._clocks_per_bit - 1)]
        with m.Elif(self.bytes.valid):
            m.d.sync += [
                shift.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))),
                divider.eq(self._clocks_per_bit - 1),
            ]
        return m
