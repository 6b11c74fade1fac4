"""Boards with AMD chips, which go FINN's own way: FINN's layers, FINN's shell, Vivado."""

from dataclasses import dataclass
from typing import Literal

from hw.boards.budget import BlockRam, Budget

BLOCK_RAM = BlockRam(36864, ((32768, 1), (16384, 2), (8192, 4), (4096, 9), (2048, 18), (1024, 36), (512, 72)))
"""RAMB36, 7-series (UG473) and UltraScale+ (UG573); its width of 72 has one port each way."""

ULTRA_RAM_BITS = 4096 * 72
"""UltraScale+'s URAM288, UG573; the bitstream cannot give it contents."""


@dataclass(frozen=True)
class AmdBoard:
    """A board, its chip, and what of the chip FINN's layers may use.

    `part` and `finn_board` are as `finn.util.basic` names them. FINN's shell `zynq` has DMA to a processor's
    memory on the same chip, `alveo` to memory on a card. `stream_bits` is the width of FINN's DMA: the AXI HP
    port of a Zynq, or the 512 bits that FINN's builder takes for a card. `clock_hz` is FINN's usual one.

    Figures: data sheets DS190 (Zynq-7000), DS891 (Zynq UltraScale+), DS987 (Kria K26). Those of the U250 are
    what its platform leaves to a user, UG1120: 345,000 LUTs, 500 block RAMs, 320 UltraRAMs and 2,877 DSPs in
    each of four regions; the chip (DS962) has 1,728,000 LUTs, 2,688 block RAMs and 12,288 DSPs.
    """

    name: str
    title: str
    architecture: Literal["7-series", "ultrascale+"]
    part: str
    finn_board: str
    finn_shell: Literal["zynq", "alveo"]
    clock_hz: int
    luts: int
    block_rams: int
    ultra_rams: int
    dsps: int
    stream_bits: int

    @property
    def family(self) -> str:
        """One name for all: FINN makes the same layers for them."""
        return "amd"

    @property
    def budget(self) -> Budget:
        """What of the chip is a user's; two flip-flops go with each LUT."""
        return Budget(
            io_pins=0,
            connectors={},
            stream_bits=self.stream_bits,
            luts=self.luts,
            flip_flops=2 * self.luts,
            block_rams=self.block_rams,
            block_ram=BLOCK_RAM,
            single_port_rams=0,
            single_port_ram_bits=0,
            dsps=self.dsps,
            clock_hz=self.clock_hz,
            ultra_rams=self.ultra_rams,
        )

    def budget_of(self, _shell: str) -> Budget:
        """The same, whatever a build file calls the shell: there is only FINN's."""
        return self.budget


AMD_BOARDS: tuple[AmdBoard, ...] = (
    AmdBoard(
        name="pynq-z1",
        title="Digilent PYNQ-Z1, Zynq-7020",
        architecture="7-series",
        part="xc7z020clg400-1",
        finn_board="Pynq-Z1",
        finn_shell="zynq",
        clock_hz=100_000_000,
        luts=53_200,
        block_rams=140,
        ultra_rams=0,
        dsps=220,
        stream_bits=64,
    ),
    AmdBoard(
        name="pynq-z2",
        title="TUL PYNQ-Z2, Zynq-7020",
        architecture="7-series",
        part="xc7z020clg400-1",
        finn_board="Pynq-Z2",
        finn_shell="zynq",
        clock_hz=100_000_000,
        luts=53_200,
        block_rams=140,
        ultra_rams=0,
        dsps=220,
        stream_bits=64,
    ),
    AmdBoard(
        name="ultra96-v2",
        title="Avnet Ultra96-V2, Zynq UltraScale+ ZU3EG",
        architecture="ultrascale+",
        part="xczu3eg-sbva484-1-i",
        finn_board="Ultra96-V2",
        finn_shell="zynq",
        clock_hz=100_000_000,
        luts=70_560,
        block_rams=216,
        ultra_rams=0,
        dsps=360,
        stream_bits=128,
    ),
    AmdBoard(
        name="zcu104",
        title="AMD ZCU104, Zynq UltraScale+ ZU7EV",
        architecture="ultrascale+",
        part="xczu7ev-ffvc1156-2-e",
        finn_board="ZCU104",
        finn_shell="zynq",
        clock_hz=100_000_000,
        luts=230_400,
        block_rams=312,
        ultra_rams=96,
        dsps=1_728,
        stream_bits=128,
    ),
    AmdBoard(
        name="kv260",
        title="AMD Kria KV260, Zynq UltraScale+ K26",
        architecture="ultrascale+",
        part="xck26-sfvc784-2LV-c",
        finn_board="KV260_SOM",
        finn_shell="zynq",
        clock_hz=100_000_000,
        luts=117_120,
        block_rams=144,
        ultra_rams=64,
        dsps=1_248,
        stream_bits=128,
    ),
    AmdBoard(
        name="u250",
        title="AMD Alveo U250, UltraScale+ XCU250",
        architecture="ultrascale+",
        part="xcu250-figd2104-2L-e",
        finn_board="U250",
        finn_shell="alveo",
        clock_hz=200_000_000,
        luts=1_380_000,
        block_rams=2_000,
        ultra_rams=1_280,
        dsps=11_508,
        stream_bits=512,
    ),
)
