"""What synthesis makes of a memory: block RAM, RAM in LUTs, or plain logic.

Yosys takes the cheapest by costs that its libraries give (`memory_libmap` with `ice40/brams.txt`,
`lattice/brams_16kd.txt` and `lattice/lutrams_trellis.txt`): a block, a multiplexer's bit, and a bit kept in
logic each have one. The same rule here tells which it will be, and how many blocks.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil, log2

from hw.boards.budget import SINGLE_PORT_RAM
from hw.boards.families.base import ChipFamily

ROM_BIT, RAM_BIT, MUX_BIT = 1 / 16, 1.0, 0.5
"""Costs of a bit in logic, without and with a write port, and of a bit of a multiplexer between blocks."""
MERGED = 8
"""Words of a ROM of which columns are likely to be the same."""
LUT_ADDRESS = 4
"""Address bits of a LUT read as a ROM."""


@dataclass(frozen=True)
class Store:
    """A memory of `depth` words of `width` bits with clocked read `ports`; `block` is asked for by name.

    `regular` contents are an arithmetic series, over and over: in logic it takes no LUTs. `single_port` asks
    for single-port RAM.
    """

    depth: int
    width: int
    writable: bool = False
    block: bool = False
    ports: int = 1
    regular: bool = False
    single_port: bool = False


@dataclass(frozen=True)
class Mapped:
    """What a memory comes to.

    Attributes:
        block_rams: blocks.
        single_port_rams: single-port RAMs.
        rom: LUTs that hold contents.
        ram: LUTs of RAM in LUTs.
        bits: bits that became flip-flops.
        read: bits of an output register that is not in a block.
        mux: bits of multiplexers between blocks or flip-flops.
    """

    block_rams: int = 0
    single_port_rams: int = 0
    rom: float = 0
    ram: int = 0
    bits: int = 0
    read: int = 0
    mux: int = 0


@cache
def mapped(store: Store, family: ChipFamily) -> Mapped:
    """What `family`'s synthesis makes of a memory."""
    if store.single_port:
        rows = ceil(store.depth / SINGLE_PORT_RAM.depth)
        rams = rows * ceil(store.width / SINGLE_PORT_RAM.width)
        return Mapped(single_port_rams=rams, mux=(rows - 1) * store.width)
    blocks, mux, cost = _blocks(store, family)
    in_logic = store.depth * store.width * (RAM_BIT if store.writable else ROM_BIT)
    if not store.writable:
        if store.block or cost < in_logic:
            return Mapped(block_rams=blocks, mux=mux)
        columns = 0 if store.regular else _columns(store)
        return Mapped(rom=columns * rom_luts(store.depth, family), read=columns)
    if family.lut_ram and not store.block:
        unit = family.lut_ram
        rows = ceil(store.depth / unit.depth)
        luts, spread = unit.luts * rows * ceil(store.width / unit.width), (rows - 1) * store.width
        if luts + MUX_BIT * (spread + rows * (rows > 1)) < min(cost, in_logic):
            return Mapped(ram=luts, mux=spread, read=store.width)
    if store.block or cost < in_logic:
        return Mapped(block_rams=blocks, mux=mux)
    size = store.depth * store.width
    return Mapped(bits=size, mux=size - store.width, read=store.width)


def _columns(store: Store) -> int:
    """Bits of a ROM's word that are not the same as others, or their inverse, in all of few words."""
    return store.width if store.depth > MERGED else min(store.width, (1 << store.depth) // 2 - 1)


def _blocks(store: Store, family: ChipFamily) -> tuple[int, int, float]:
    """Blocks, bits of multiplexers between them, and cost, in the cheapest shape."""
    found = []
    for depth, width in family.block_ram.shapes:
        rows = ceil(store.depth / depth)
        # Of a block's two ports one writes and one reads, but for words up to `shared_width`.
        copies = ceil(store.ports / 2) if width <= family.shared_width else store.ports
        blocks, mux = copies * ceil(rows * store.width / width), store.ports * (rows - 1) * store.width
        found.append((family.block_ram_cost * blocks + MUX_BIT * mux, blocks, mux))
    cost, blocks, mux = min(found)
    return blocks, mux, cost


def rom_luts(depth: int, family: ChipFamily) -> float:
    """LUTs a bit of a ROM's word: one for each 16 words, and the multiplexers between them."""
    leaves = ceil(depth / (1 << LUT_ADDRESS))
    if leaves == 1:
        return min(1.0, log2(depth) / 2)
    return leaves + (leaves - 1) * family.rom_mux
