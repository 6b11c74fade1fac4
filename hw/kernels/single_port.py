"""Weights in single-port RAM, such as iCE40 UltraPlus has: empty after configuration, written by a load port.

A RAM of `width`-bit words is columns of 16 bits side by side. In `core.v` it is a memory without contents and
with one address for reading and writing, which synthesis puts into SB_SPRAM256KA (Lattice TN1314, "iCE40
SPRAM Usage Guide"; Yosys's `ice40/spram.txt`) and refuses to put anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out, PureInterface
from numpy.typing import NDArray

from hw.budget import SINGLE_PORT_RAM
from hw.kernels.streams import counter_width

NAME = "single_port"
"""Of the memory in its kernel; `hw.verilog` writes memories of this name without contents."""


@dataclass(frozen=True)
class RamShape:
    """`depth` words of `width` bits."""

    depth: int
    width: int

    @property
    def columns(self) -> int:
        """Columns of 16 bits that are written apart."""
        return -(-self.width // SINGLE_PORT_RAM.width)

    @property
    def rams(self) -> int:
        """The chip's RAMs that it takes."""
        return self.columns * -(-self.depth // SINGLE_PORT_RAM.depth)

    @property
    def load(self) -> wiring.Signature:
        """The load port: `data` goes to `address` of the `column` that is set; no reading in that cycle."""
        return wiring.Signature(
            {
                "column": Out(self.columns),
                "address": Out(counter_width(self.depth)),
                "data": Out(SINGLE_PORT_RAM.width),
            }
        )

    def contents(self, words: Sequence[int]) -> NDArray[np.uint16]:
        """Words as what has to be loaded, (columns, depth)."""
        bits, mask = SINGLE_PORT_RAM.width, (1 << SINGLE_PORT_RAM.width) - 1
        columns = [[word >> (bits * column) & mask for word in words] for column in range(self.columns)]
        return np.array(columns, np.uint16)


def single_port_ram(m: Module, shape: RamShape, address: Value, load: PureInterface) -> Value:
    """The word at `address`, a cycle later; the module's one RAM of this kind."""
    ram = memory.Memory(
        shape=SINGLE_PORT_RAM.width * shape.columns, depth=shape.depth, init=[], attrs={"ram_style": "huge"}
    )
    m.submodules[NAME] = ram
    read, write = ram.read_port(), ram.write_port(granularity=SINGLE_PORT_RAM.width)
    one = Mux(load.column.any(), load.address, address)
    m.d.comb += [
        read.addr.eq(one),
        read.en.eq(~load.column.any()),
        write.addr.eq(one),
        write.en.eq(load.column),
        write.data.eq(load.data.replicate(shape.columns)),
    ]
    return read.data[: shape.width]
