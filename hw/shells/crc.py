"""The protocol's CRC-32, one bit a cycle: an iCE40 has no room for one that takes a byte at once."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

BITS = 32
POLYNOMIAL = 0xEDB88320  # 0x04C11DB7, least significant bit first
BYTE_CYCLES = 8
"""Bytes must be this many cycles apart, or more; on the line it is 40 at least."""


class Crc(wiring.Component):  # type: ignore[misc]
    """CRC-32 of the bytes since `start`, of which `low` is the byte that goes over the line next.

    A byte that comes with `check` is one of the CRC itself, low byte first: it is compared, `mismatch` set
    where it differs, and the register turned by 8 bits. After four of them the register is as it was,
    for the CRC to go on from. `busy` while a byte is worked on.
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
        crc = Signal(BITS, init=-1)
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
