"""The boards that Retort builds for, as data: those with open tools, and AMD's of `hw.boards.amd`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

from common.errors import ConfigError
from hw.boards.amd import AMD_BOARDS, AmdBoard
from hw.boards.budget import FAMILIES, Budget

CONTROL_PINS = ("in_valid", "in_ready", "out_valid", "out_ready", "out_last", "reset_n", "clk_out")
"""The pins of the parallel shell besides data, see `hw.shells.parallel`."""

_TAKEN = ("uart", "led", "rgb_led", "spi_flash_1x", "spi_flash")
"""Resources of a platform, besides its clock, whose pins are not a user's, though they are on a connector."""


@dataclass(frozen=True)
class BoardPin:
    """A pin that a user may wire: connector and position as in amaranth-boards, pin of the package."""

    connector: str
    position: str
    package_pin: str


@dataclass(frozen=True)
class Board:
    """A board, its chip, and what of the chip a design may use.

    `device`, `package` and `speed` are as nextpnr's options name them (`--up5k --package sg48`), `resources`
    as its utilization report does; `speed` is empty for iCE40. Figures: Lattice data sheets FPGA-DS-02008
    (iCE40 UltraPlus), FPGA-DS-02029 (iCE40 LP/HX), FPGA-DS-02012 (ECP5). TRELLIS_IO is the package's user
    pins; nextpnr counts the die's, which are more.

    `uart_pins` is (rx, tx) on connector `io` where the board has no serial link of its own. `reserved` are
    positions on connectors that other parts of the board are wired to as well.
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
    reserved: tuple[str, ...] = ()

    @property
    def budget(self) -> Budget:
        """What of the board is a user's."""
        connectors = [pin.connector for pin in self.user_pins()]
        return FAMILIES[self.family].budget(self.resources, self.clock_hz, connectors, len(CONTROL_PINS))

    def budget_of(self, shell: str) -> Budget:
        """The budget with a shell; only the serial one can load weights into single-port RAM."""
        if shell == "uart":
            return self.budget
        return replace(self.budget, single_port_rams=0, single_port_ram_bits=0)

    def user_pins(self) -> tuple[BoardPin, ...]:
        """The pins on connectors that are free for streams, connector by connector in order of position.

        With the parallel shell there is no serial link: where that would take a connector's pins, they are
        free.
        """
        return _user_pins(self.platform, self.reserved)

    @property
    def clocks_per_bit(self) -> int:
        """Clock cycles that a bit on the serial link takes."""
        return round(self.clock_hz / self.baud)

    def make_platform(self) -> Any:
        """A fresh platform object of amaranth-boards."""
        return _platform(self.platform)


def _platform(where: str) -> Any:
    module, name = where.split(":")
    return getattr(import_module(f"amaranth_boards.{module}"), name)()


@cache
def _user_pins(where: str, reserved: tuple[str, ...]) -> tuple[BoardPin, ...]:
    platform = _platform(where)
    taken = {
        name
        for (kind, _), resource in platform.resources.items()
        if kind in (platform.default_clk, *_TAKEN)
        for name in _package_pins(resource)
    }
    return tuple(
        BoardPin(f"{connector.name}_{connector.number}", position, pin)
        for connector in platform.connectors.values()
        for position, pin in connector.mapping.items()
        if pin not in taken and position not in reserved
    )


def _package_pins(resource: Any) -> list[str]:
    """Package pins of a resource, its subsignals' included, on whichever connector they are."""
    found: list[str] = []
    for part in resource.ios:
        if hasattr(part, "ios"):
            found += _package_pins(part)
        elif hasattr(part, "names"):
            found += part.names
    return found


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
        reserved=("11+", "11-", "12+", "12-", "13+", "13-"),  # the ESP32's
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

ALL: tuple[Board | AmdBoard, ...] = (*BOARDS, *AMD_BOARDS)


REFUSED: Mapping[str, str] = {
    "tang-nano-9k": "open place and route for its Gowin chip ends with hold violations, and its bitstream "
    "cannot be simulated",
}
"""Boards that are asked for, and why there is no proven way to them."""


def find(name: str) -> Board | AmdBoard:
    """The board of that name; raises `ConfigError` that lists the known ones, or says why it is refused."""
    for board in ALL:
        if board.name == name:
            return board
    if name in REFUSED:
        raise ConfigError(f"board '{name}' is not supported: {REFUSED[name]}; take another board")
    known = ", ".join(board.name for board in ALL)
    raise ConfigError(f"unknown board '{name}': the boards are {known}")


def find_open(name: str) -> Board:
    """The board of that name; raises `ConfigError` where no open tools make its bitstream."""
    board = find(name)
    if isinstance(board, Board):
        return board
    known = ", ".join(each.name for each in BOARDS)
    raise ConfigError(f"board '{name}' has an AMD chip, for which only Vivado makes bitstreams; take {known}")


def find_amd(name: str) -> AmdBoard:
    """The board of that name; raises `ConfigError` where its chip is not AMD's."""
    board = find(name)
    if isinstance(board, AmdBoard):
        return board
    known = ", ".join(each.name for each in AMD_BOARDS)
    raise ConfigError(f"board '{name}' has no AMD chip, and FINN no shell for it; take {known}")
