"""What synthesis makes of a memory: block RAM, RAM in LUTs, or plain logic.

Yosys takes the cheapest by costs that its libraries give (`memory_libmap` with `ice40/brams.txt`,
`lattice/brams_16kd.txt` and `lattice/lutrams_trellis.txt`): a block, a multiplexer's bit, and a bit kept in
logic each have one. The same rule here tells which it will be, and how many blocks.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil, log2

from hw.boards.budget import FAMILIES, SINGLE_PORT_RAM

ROM_BIT, RAM_BIT, MUX_BIT = 1 / 16, 1.0, 0.5
"""Costs of a bit in logic, without and with a write port, and of a bit of a multiplexer between blocks."""
BLOCK = {"ice40": 64, "ecp5": 128}
"""Cost of a block RAM."""
SHARED = 18
"""The widest word of an ECP5 block RAM that both its ports can read."""
LUT_RAM_DEPTH, LUT_RAM_WIDTH, LUT_RAM = 16, 4, 4
"""ECP5's RAM in LUTs, TRELLIS_DPR16X4: words, bits a word, cost."""
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
def mapped(store: Store, family: str) -> Mapped:
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
    rows = ceil(store.depth / LUT_RAM_DEPTH)
    units = rows * ceil(store.width / LUT_RAM_WIDTH)
    spread = (rows - 1) * store.width
    in_luts = LUT_RAM * units + MUX_BIT * (spread + rows * (rows > 1))
    if family == "ecp5" and not store.block and in_luts < min(cost, in_logic):
        return Mapped(ram=LUT_RAM * units, mux=spread, read=store.width)
    if store.block or cost < in_logic:
        return Mapped(block_rams=blocks, mux=mux)
    size = store.depth * store.width
    return Mapped(bits=size, mux=size - store.width, read=store.width)


def _columns(store: Store) -> int:
    """Bits of a ROM's word that are not the same as others, or their inverse, in all of few words."""
    return store.width if store.depth > MERGED else min(store.width, (1 << store.depth) // 2 - 1)


def _blocks(store: Store, family: str) -> tuple[int, int, float]:
    """Blocks, bits of multiplexers between them, and cost, in the cheapest shape."""
    found = []
    for depth, width in FAMILIES[family].block_ram.shapes:
        rows = ceil(store.depth / depth)
        # The blocks' own two ports are one to write and one to read, but for ECP5's up to 18 bits wide.
        copies = ceil(store.ports / 2) if family == "ecp5" and width <= SHARED else store.ports
        blocks, mux = copies * ceil(rows * store.width / width), store.ports * (rows - 1) * store.width
        found.append((BLOCK[family] * blocks + MUX_BIT * mux, blocks, mux))
    cost, blocks, mux = min(found)
    return blocks, mux, cost


def rom_luts(depth: int, family: str) -> float:
    """LUTs a bit of a ROM's word: one for each 16 words, and the multiplexers between them.

    Two multiplexers of two make a LUT's worth on iCE40; on ECP5, where LUTs are joined by multiplexers of
    their own, synthesis for speed takes about as many LUTs again as there are leaves.
    """
    leaves = ceil(depth / (1 << LUT_ADDRESS))
    if leaves == 1:
        return min(1.0, log2(depth) / 2)
    return leaves + (leaves - 1) * (2 / 3 if family == "ice40" else 1)
