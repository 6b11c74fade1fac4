"""Weights in single-port RAM, such as iCE40 UltraPlus has: empty after configuration, written by a load port.

A RAM of any width and depth is made of RAMs of 16k words of 16 bits, in columns side by side, in rows of
addresses. In `core.v` each of them is a module of its own, a memory without contents and with one address,
which synthesis makes an SB_SPRAM256KA (Lattice TN1314, "iCE40 SPRAM Usage Guide"; Yosys's `ice40/spram.txt`).
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw.boards.budget import SINGLE_PORT_RAM
from hw.kernels.specs.base import counter_width
from hw.kernels.specs.products import RamShape

WORD = SINGLE_PORT_RAM.width
ADDRESS_BITS = counter_width(SINGLE_PORT_RAM.depth)
NAME = "single_port_ram"
"""How the modules of these RAMs begin, by which `hw.core.verilog` and synthesis know them."""


def load_port(ram: RamShape) -> wiring.Signature:
    """The load port: `data` goes to `address` of the `column` that is set; no reading in that cycle."""
    return wiring.Signature(
        {"column": Out(ram.columns), "address": Out(counter_width(ram.depth)), "data": Out(WORD)}
    )


class SinglePortRam(wiring.Component):  # type: ignore[misc]
    """One RAM of the chip, of which `depth` words are used; `o` follows a cycle after `address`.

    A cycle that writes does not read, and leaves `o` undefined on the chip.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__({"address": In(ADDRESS_BITS), "write": In(1), "i": In(WORD), "o": Out(WORD)})

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        m.submodules.words = words = memory.Memory(
            shape=WORD, depth=self.depth, init=[], attrs={"ram_style": "huge"}
        )
        read, write = words.read_port(), words.write_port()
        m.d.comb += [
            read.addr.eq(self.address),
            read.en.eq(~self.write),
            write.addr.eq(self.address),
            write.en.eq(self.write),
            write.data.eq(self.i),
            self.o.eq(read.data),
        ]
        return m


def single_port_ram(m: Module, shape: RamShape, address: Value, load: PureInterface) -> Value:
    """The word at `address`, a cycle later."""
    one = Signal(counter_width(shape.depth), name="ram_address")
    m.d.comb += one.eq(Mux(load.column.any(), load.address, address))
    words = []
    for row, depth in enumerate(shape.rows):
        columns = []
        for column in range(shape.columns):
            ram = SinglePortRam(depth)
            m.submodules[f"{NAME}_{row}_{column}"] = ram
            m.d.comb += [
                ram.address.eq(one),
                ram.i.eq(load.data),
                ram.write.eq(load.column[column] & (one >> ADDRESS_BITS == row)),
            ]
            columns.append(ram.o)
        words.append(Cat(columns)[: shape.width])
    if len(words) == 1:
        return words[0]
    shown = Signal(range(len(words)), name="ram_row")
    m.d.sync += shown.eq(one >> ADDRESS_BITS)
    return Array(words)[shown]
