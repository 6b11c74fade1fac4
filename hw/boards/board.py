"""A board: its chip, and what of the chip a design may use."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, Literal, Self

from common.errors import ConfigError
from hw.boards.budget import Budget
from hw.boards.families.base import ChipFamily, Toolchain

CONTROL_PINS = ("in_valid", "in_ready", "out_valid", "out_ready", "out_last", "reset_n", "clk_out")
"""The pins of the parallel shell besides data, see `hw.shells.parallel`."""

_TAKEN = ("uart", "led", "rgb_led", "spi_flash_1x", "spi_flash")
"""Resources of a platform, besides its clock, whose pins a user cannot have though a connector has them."""


@dataclass(frozen=True)
class BoardPin:
    """A pin that a user may wire: connector and position as in amaranth-boards, pin of the package."""

    connector: str
    position: str
    package_pin: str


@dataclass(frozen=True)
class FinnBoard:
    """What FINN knows of a board.

    Attributes:
        name: as `finn.util.basic` has it.
        shell: DMA to the memory of a processor on the same chip (`zynq`), or on a card (`alveo`).
        stream_bits: width of the DMA: the AXI HP port of a Zynq, or the 512 bits that FINN takes for a card.
    """

    name: str
    shell: Literal["zynq", "alveo"]
    architecture: Literal["7-series", "ultrascale+"]
    stream_bits: int


@dataclass(frozen=True)
class Board:
    """A board, its chip, and what of the chip a design may use.

    Attributes:
        family: of the chip.
        device, package, speed: as nextpnr's options name them (`--up5k --package sg48`); the device of a
            board that Vivado builds for is the part.
        clock_hz: clock of the design.
        resources: what a design may use, named as the family's tools name it.
        baud: of the serial link.
        platform: module and class of amaranth-boards; empty where Vivado builds.
        uart_pins: (rx, tx) on connector `io` where the board has no serial link of its own.
        reserved: positions on connectors that other parts of the board are wired to as well.
        programmed_as: the board's name for openFPGALoader.
        finn_board: what FINN knows of it; None where open tools build.
    """

    name: str
    title: str
    family: ChipFamily
    device: str
    clock_hz: int
    resources: Mapping[str, int]
    package: str = ""
    speed: str = ""
    baud: int = 1_000_000
    platform: str = ""
    uart_pins: tuple[str, str] | None = None
    reserved: tuple[str, ...] = ()
    programmed_as: str = ""
    finn_board: FinnBoard | None = None

    def require_open(self) -> Self:
        """The board itself; raises `ConfigError` where no open tools make its bitstream."""
        _ = self.toolchain
        return self

    @property
    def toolchain(self) -> Toolchain:
        """The open tools that make its bitstream; raises `ConfigError` where there are none."""
        if self.family.toolchain is None:
            raise ConfigError(
                f"board '{self.name}' has an {self.family.title} chip, for which only Vivado makes"
                " bitstreams; take a board with open tools (`retort boards` lists them)"
            )
        return self.family.toolchain

    @property
    def finn(self) -> FinnBoard:
        """What FINN knows of it; raises `ConfigError` where FINN has no shell for it."""
        if self.finn_board is None:
            raise ConfigError(
                f"board '{self.name}' has an {self.family.title} chip, and FINN no shell for it;"
                " take a board that FINN has one for (`retort boards` lists them)"
            )
        return self.finn_board

    @property
    def budget(self) -> Budget:
        """What of the board is a user's."""
        family, available = self.family, self.resources
        connectors = [pin.connector for pin in self.user_pins()]
        free = max(0, len(connectors) - len(CONTROL_PINS))
        single_port_rams = available.get(family.single_port_ram_name, 0)
        single_port_bits = family.single_port_ram.bits if family.single_port_ram else 0
        ultra_rams = available.get(family.ultra_ram_name, 0)
        return Budget(
            io_pins=len(connectors),
            connectors={name: connectors.count(name) for name in dict.fromkeys(connectors)},
            stream_bits=self.finn_board.stream_bits if self.finn_board else free,
            luts=available[family.lut],
            flip_flops=available[family.flip_flop],
            block_rams=available[family.block_ram_name],
            block_ram=family.block_ram,
            single_port_rams=single_port_rams,
            single_port_ram_bits=single_port_rams * single_port_bits,
            dsps=available.get(family.dsp, 0),
            clock_hz=self.clock_hz,
            ultra_rams=ultra_rams,
            ultra_ram_bits=ultra_rams * family.ultra_ram_bits,
            shared_cells=family.shared_cells,
        )

    def budget_of(self, shell: str) -> Budget:
        """The budget with a shell; only the serial one can load weights into single-port RAM."""
        if shell == "uart":
            return self.budget
        return replace(self.budget, single_port_rams=0, single_port_ram_bits=0)

    def user_pins(self) -> tuple[BoardPin, ...]:
        """The pins on connectors that are free for streams, connector by connector in order of position.

        The parallel shell has no serial link: the pins that one would take on a connector are free.
        """
        return _user_pins(self.platform, self.reserved) if self.platform else ()

    @property
    def clocks_per_bit(self) -> int:
        """Clock cycles that a bit on the serial link takes."""
        return round(self.clock_hz / self.baud)

    @property
    def programmers(self) -> tuple[tuple[str, ...], ...]:
        """Command lines that load a bitstream, whose path goes to the end, best first."""
        return tuple(
            tuple(word.format(self.programmed_as) for word in line) for line in self.family.programmers
        )

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
    """Package pins of a resource and its subsignals."""
    found: list[str] = []
    for part in resource.ios:
        if hasattr(part, "ios"):
            found += _package_pins(part)
        elif hasattr(part, "names"):
            found += part.names
    return found
