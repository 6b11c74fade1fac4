"""The boards that Retort builds for, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Board:
    """A board, its chip, and what of the chip a design may use.

    `device`, `package` and `speed` are as nextpnr's options name them (`--up5k --package sg48`), `resources`
    as its utilization report does; `speed` is empty for iCE40. Figures: Lattice data sheets FPGA-DS-02008
    (iCE40 UltraPlus), FPGA-DS-02029 (iCE40 LP/HX), FPGA-DS-02012 (ECP5). TRELLIS_IO is the package's user
    pins; nextpnr counts the die's, which are more.

    `uart_pins` is (rx, tx) on connector `io` where the board has no serial link of its own.
    """

    name: str
    title: str
    family: str
    device: str
    package: str
    speed: str
    clock_hz: int
    baud: int
    resources: Mapping[str, int]
    platform: str
    uart_pins: tuple[str, str] | None = None

    @property
    def clocks_per_bit(self) -> int:
        """Clock cycles that a bit on the serial link takes."""
        return round(self.clock_hz / self.baud)

    def make_platform(self) -> Any:
        """A fresh platform object of amaranth-boards."""
        module, name = self.platform.split(":")
        return getattr(import_module(f"amaranth_boards.{module}"), name)()


BOARDS: tuple[Board, ...] = (
    Board(
        name="icebreaker",
        title="1BitSquared iCEBreaker",
        family="ice40",
        device="up5k",
        package="sg48",
        speed="",
        clock_hz=12_000_000,
        baud=1_000_000,
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
        family="ice40",
        device="hx8k",
        package="ct256",
        speed="",
        clock_hz=12_000_000,
        baud=1_000_000,
        resources={
            "ICESTORM_LC": 7680,
            "ICESTORM_RAM": 32,
            "ICESTORM_PLL": 2,
            "SB_GB": 8,
            "SB_IO": 206,
        },
        platform="ice40_hx8k_b_evn:ICE40HX8KBEVNPlatform",
    ),
    Board(
        name="ulx3s-85f",
        title="Radiona ULX3S, LFE5U-85F",
        family="ecp5",
        device="85k",
        package="CABGA381",
        speed="6",
        clock_hz=25_000_000,
        baud=1_000_000,
        resources={
            "TRELLIS_COMB": 83640,
            "TRELLIS_FF": 83640,
            "DP16KD": 208,
            "MULT18X18D": 156,
            "EHXPLLL": 4,
            "TRELLIS_IO": 205,
        },
        platform="ulx3s:ULX3S_85F_Platform",
    ),
    Board(
        name="orangecrab",
        title="OrangeCrab r0.2, LFE5U-25F, serial adapter on pins 0 (rx) and 1 (tx)",
        family="ecp5",
        device="25k",
        package="CSFBGA285",
        speed="8",
        clock_hz=48_000_000,
        baud=1_000_000,
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
    ),
)


def find(name: str) -> Board:
    """The board of that name; raises `ConfigError` that lists the known ones."""
    for board in BOARDS:
        if board.name == name:
            return board
    known = ", ".join(board.name for board in BOARDS)
    raise ConfigError(f"unknown board '{name}': the boards are {known}")
