"""What a design may use of a board, in the units that sizing a network reckons with."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BlockRam:
    """One block RAM: `bits` of it, and the shapes `(depth, width)` that a port may have."""

    bits: int
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SinglePortRam:
    """One single-port RAM: `depth` words of `width` bits."""

    depth: int
    width: int

    @property
    def bits(self) -> int:
        """Bits of it."""
        return self.depth * self.width


SINGLE_PORT_RAM = SinglePortRam(16384, 16)
"""iCE40 UltraPlus's SB_SPRAM256KA, Lattice TN1314; the RAM that `hw.kernels.single_port` is made of."""


@dataclass(frozen=True)
class Budget:
    """A board's room for a user's design.

    `io_pins` are those on connectors, by connector in `connectors`, which neither clock, serial link, lights
    nor configuration flash have; `stream_bits` of them are left for the data of the parallel shell's two
    streams together. A board that Vivado builds for has no such pins: there `stream_bits` is what its
    shell's DMA moves in a cycle, each way. The bitstream can give contents to neither `single_port_rams` nor
    `ultra_rams`. `clock_hz` is the clock of the design. Where `shared_cells`, a logic cell holds a LUT, a
    flip-flop and a carry, together or apart: `luts` counts the cells, and flip-flops need no other room.
    """

    io_pins: int
    connectors: Mapping[str, int]
    stream_bits: int
    luts: int
    flip_flops: int
    block_rams: int
    block_ram: BlockRam
    single_port_rams: int
    single_port_ram_bits: int
    dsps: int
    clock_hz: int
    ultra_rams: int = 0
    ultra_ram_bits: int = 0
    shared_cells: bool = False

    @property
    def block_ram_bits(self) -> int:
        """Bits of all block RAMs together."""
        return self.block_rams * self.block_ram.bits

    @property
    def memory_bits(self) -> int:
        """Bits of all memories together, of LUTs none."""
        return self.block_ram_bits + self.single_port_ram_bits + self.ultra_ram_bits
