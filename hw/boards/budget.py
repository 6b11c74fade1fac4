"""What a design may use of a board, in the units that sizing a network reckons with."""

from collections.abc import Mapping, Sequence
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
"""iCE40 UltraPlus's SB_SPRAM256KA, Lattice TN1314; no other chip of `FAMILIES` has any."""


@dataclass(frozen=True)
class Budget:
    """A board's room for a user's design.

    `io_pins` are those on connectors, by connector in `connectors`, which neither clock, serial link, lights
    nor configuration flash have; `stream_bits` of them are left for the data of the parallel shell's two
    streams together. An AMD board has no such pins, and `stream_bits` is what its shell's DMA moves in a
    cycle, each way. Neither `single_port_rams` nor `ultra_rams` can be given contents by the bitstream.
    `clock_hz` is the clock of the design. Where `shared_cells`, a logic cell holds a LUT, a flip-flop and a
    carry, together or apart: `luts` counts the cells, and flip-flops need no other room.
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
    shared_cells: bool = False

    @property
    def block_ram_bits(self) -> int:
        """Bits of all block RAMs together."""
        return self.block_rams * self.block_ram.bits


@dataclass(frozen=True)
class Family:
    """What the chips of a family have in common: nextpnr's names of resources, and its block RAM."""

    lut: str
    flip_flop: str
    block_ram_name: str
    block_ram: BlockRam
    dsp: str
    single_port_ram: str = ""
    single_port_ram_bits: int = 0

    def budget(
        self, resources: Mapping[str, int], clock_hz: int, connectors: Sequence[str], control_pins: int
    ) -> Budget:
        """The budget of a board with `resources`; `connectors` names the connector of every usable pin."""
        single_port = resources.get(self.single_port_ram, 0)
        return Budget(
            io_pins=len(connectors),
            connectors={name: connectors.count(name) for name in dict.fromkeys(connectors)},
            stream_bits=max(0, len(connectors) - control_pins),
            luts=resources[self.lut],
            flip_flops=resources[self.flip_flop],
            block_rams=resources[self.block_ram_name],
            block_ram=self.block_ram,
            single_port_rams=single_port,
            single_port_ram_bits=single_port * self.single_port_ram_bits,
            dsps=resources.get(self.dsp, 0),
            clock_hz=clock_hz,
            shared_cells=self.lut == self.flip_flop,
        )


FAMILIES: Mapping[str, Family] = {
    "ice40": Family(
        lut="ICESTORM_LC",
        flip_flop="ICESTORM_LC",
        block_ram_name="ICESTORM_RAM",
        block_ram=BlockRam(4096, ((256, 16), (512, 8), (1024, 4), (2048, 2))),
        dsp="ICESTORM_DSP",
        single_port_ram="ICESTORM_SPRAM",
        single_port_ram_bits=SINGLE_PORT_RAM.bits,
    ),
    "ecp5": Family(
        lut="TRELLIS_COMB",
        flip_flop="TRELLIS_FF",
        block_ram_name="DP16KD",
        block_ram=BlockRam(18432, ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))),
        dsp="MULT18X18D",
    ),
}
"""Figures: iCE40 block RAM SB_RAM40_4K and single-port RAM SB_SPRAM256KA, Lattice TN1250 and
TN1314; ECP5 DP16KD, Lattice FPGA-TN-02204 (its width of 36 has one port each way)."""
