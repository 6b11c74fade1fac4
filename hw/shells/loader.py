"""Loads weights into a core's RAM, which is empty after configuration, and checks them."""

import zlib
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from common.errors import CapacityError
from hw.interface import WeightsFormat
from hw.shells.protocol import BLOCK_BYTES, MAX_BLOCKS


def load_signature(weights: WeightsFormat) -> wiring.Signature:
    """The core's load port."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "column": Out(weights.column_bits),
            "address": Out(weights.address_bits),
            "data": Out(16),
        }
    )


class Loader(wiring.Component):  # type: ignore[misc]
    """Takes the bytes of whole blocks and gives the core a word for every two of them.

    `block` is the number of the next block, `whole` is set once all have come, `loaded` if their CRC-32 is
    right, too. `clear` starts again from block 0.
    """

    def __init__(self, weights: WeightsFormat) -> None:
        """Raises `CapacityError` where there are more blocks than numbers for them."""
        self._weights = weights
        self._blocks = -(-weights.size // BLOCK_BYTES)
        if self._blocks > MAX_BLOCKS:
            raise CapacityError(
                f"weights to load of {weights.size} bytes: the link takes {MAX_BLOCKS * BLOCK_BYTES}"
            )
        self._crc32 = zlib.crc32(bytes(self._blocks * BLOCK_BYTES - weights.size), weights.crc32)
        super().__init__(
            {
                "bytes": In(stream.Signature(8, always_ready=True)),
                "clear": In(1),
                "load": Out(load_signature(weights)),
                "block": Out(8),
                "whole": Out(1),
                "loaded": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Counters of bytes, words of a column and columns; zeros behind the last column go nowhere."""
        m = Module()
        m.submodules.crc = crc = catalog.CRC32_ISO_HDLC(8).create()
        columns = self._weights.columns
        count = Signal(range(self._blocks * BLOCK_BYTES + 1))
        low = Signal(8)
        column = Signal(range(len(columns) + 1))
        address = Signal.like(self.load.address)
        last = Array(Const(words - 1, len(address)) for words in (*columns, 1))[column]
        within = column != len(columns)
        m.d.comb += [
            crc.start.eq(self.clear),
            crc.data.eq(self.bytes.payload),
            crc.valid.eq(self.bytes.valid & ~self.clear),
            self.block.eq(count >> (BLOCK_BYTES.bit_length() - 1)),
            self.whole.eq(count == self._blocks * BLOCK_BYTES),
            self.loaded.eq(self.whole & (crc.crc == self._crc32)),
            self.load.valid.eq(self.bytes.valid & count[0] & within),
            self.load.column.eq(column),
            self.load.address.eq(address),
            self.load.data.eq(Cat(low, self.bytes.payload)),
        ]
        with m.If(self.bytes.valid):
            m.d.sync += [count.eq(count + 1), low.eq(self.bytes.payload)]
        with m.If(self.load.valid):
            m.d.sync += address.eq(Mux(address == last, 0, address + 1))
            with m.If(address == last):
                m.d.sync += column.eq(column + 1)
        with m.If(self.clear):
            m.d.sync += [count.eq(0), column.eq(0), address.eq(0)]
        return m
