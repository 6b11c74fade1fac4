"""What a chip family is: its memories and costs, its open tools, its PLL, and how its chips are drawn."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hw.boards.budget import BlockRam, SinglePortRam
from hw.tools.kinds import CommandTool, Tool, WheelTool

FOLDER = Path(__file__).parent

Range = tuple[float, float]
"""The least and the greatest value."""
Factors = Mapping[str, Mapping[str, float]]
"""For each kind of part the LUTs, or flip-flops, that each of its features takes."""


@dataclass(frozen=True)
class LutRam:
    """RAM in LUTs: a unit of `depth` words of `width` bits takes `luts`."""

    depth: int
    width: int
    luts: int


@dataclass(frozen=True)
class Coefficients:
    """The fitted costs of a family's kernels, and the versions of the tools that they were measured with."""

    tools: Mapping[str, str]
    luts: Factors
    flip_flops: Factors


@dataclass(frozen=True)
class Pll:
    """A PLL: `output = input / reference * feedback / divider`.

    Frequencies are in hertz. `phase_hz` is `input / reference`, `vco_hz` is `output * divider`.
    `reference` and `feedback` are the greatest of the whole numbers from 1 on, `dividers` are all there are.
    """

    cell: str
    input_hz: Range
    phase_hz: Range
    vco_hz: Range
    output_hz: Range
    reference: int
    feedback: int
    dividers: tuple[int, ...]


@dataclass(frozen=True)
class Drawing:
    """How a placed design is drawn.

    Attributes:
        grids: columns and rows of tiles, by nextpnr's name of the chip.
        kinds: what the legend calls a cell type.
        logic: where in its tile, 16 by 16 units, a logic cell is: x, y, width, height; None for other cells.
        top_down: whether row 0 is at the top.
        tall: the cell that also fills the tile above.
    """

    grids: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, str]
    logic: Callable[[str], tuple[int, int, int, int] | None]
    top_down: bool
    tall: str = ""


@dataclass(frozen=True)
class Toolchain:
    """The open tools of a family: Yosys, and nextpnr and the packer of `wheel`.

    Attributes:
        native: the commands that take the wheel's place: nextpnr, packer.
        unpacker: the packer's inverse, of the wheel.
        synthesis: Yosys's command, {top} for the module.
        single_port: Yosys's commands that map single-port RAM.
        constraints, routed, bitstream: suffixes of files, dot included; nextpnr's option for constraints is
            called like their suffix.
        routed_option: nextpnr's option for the routed design.
        synchronization: bytes that start the configuration in a bitstream, behind a header of comments.
        cells: Yosys's folder of cell models.
        models: more cell models, for cells that Yosys has as black boxes.
        pads: technology map of pads to wires.
        renamed: the names that `models` have for cell types.
        defines: Verilog macros of the cell models.
        decompiler: the command that turns unpacked bitstreams into Verilog of module `top`.
        decompiler_options: its options, {package} and {constraints} for the chip's package and the file.
        pin, pulled_up: attributes of a pin for amaranth-boards.
        drawing: how a placed design is drawn.
    """

    wheel: WheelTool
    native: tuple[CommandTool, CommandTool]
    unpacker: str
    synthesis: str
    constraints: str
    routed: str
    routed_option: str
    bitstream: str
    synchronization: bytes
    cells: str
    pads: Path
    pin: Mapping[str, Any]
    pulled_up: Mapping[str, Any]
    drawing: Drawing
    single_port: tuple[str, ...] = ()
    models: tuple[Path, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    defines: Mapping[str, str] = field(default_factory=dict)
    decompiler: CommandTool | None = None
    decompiler_options: tuple[str, ...] = ()

    def tools(self, *, native: bool = False) -> tuple[str, ...]:
        """Names of the tools from synthesis to packing.

        All are native or none: nextpnr may refuse the netlist of a Yosys of another age.
        """
        return ("yosys", *(each.name for each in self.native)) if native else ("pyosys", self.wheel.name)

    def nextpnr(self, *, native: bool = False) -> list[str]:
        """Start of the argument list that runs nextpnr; raises `ToolMissingError`."""
        return self._program(self.native[0], native)

    def packer(self, *, native: bool = False) -> list[str]:
        """Start of the argument list that runs the packer; raises `ToolMissingError`."""
        return self._program(self.native[1], native)

    def _program(self, command: CommandTool, native: bool) -> list[str]:
        return [str(command.executable())] if native else self.wheel.program(command.name)


@dataclass(frozen=True, eq=False)
class ChipFamily:
    """All that differs between chip families; one object a family.

    Attributes:
        name: as stores and build files have it.
        title: as messages have it.
        lut, flip_flop, block_ram_name, dsp, single_port_ram_name, ultra_ram_name: resources of a board, named
            as the tools name them; empty where there is none.
        block_ram: a block RAM's ports and bits.
        multiply: the values of `compile.multiply` that it has kernels for.
        tools: outside tools that only this family needs.
        toolchain: None where FINN and Vivado make the bitstream.
        coefficients_file: the fitted costs; None where FINN's layers are the ones to count.
        block_ram_cost: cost of a block RAM to Yosys's `memory_libmap`.
        shared_width: the widest word of a block RAM that both its ports can read; 0 where one only writes.
        lut_ram: RAM in LUTs.
        rom_mux: LUTs of a multiplexer between two parts of a ROM in LUTs.
        single_port_ram, ultra_ram_bits: RAM that the bitstream cannot give contents, one of each.
        pll: the PLL.
        programmers: command lines that load a bitstream, which goes to the end, best first; {} is the
            board by the programmer's name.
    """

    name: str
    title: str
    lut: str
    flip_flop: str
    block_ram_name: str
    dsp: str
    block_ram: BlockRam
    multiply: tuple[str, ...]
    tools: tuple[Tool, ...]
    toolchain: Toolchain | None = None
    coefficients_file: Path | None = None
    block_ram_cost: int = 0
    shared_width: int = 0
    lut_ram: LutRam | None = None
    rom_mux: float = 1.0
    single_port_ram: SinglePortRam | None = None
    single_port_ram_name: str = ""
    ultra_ram_name: str = ""
    ultra_ram_bits: int = 0
    pll: Pll | None = None
    programmers: tuple[tuple[str, ...], ...] = ()

    @property
    def uses_vivado(self) -> bool:
        """Whether FINN's layers and Vivado make the bitstream, not our kernels and open tools."""
        return self.toolchain is None

    @property
    def shared_cells(self) -> bool:
        """Whether a logic cell holds a LUT and a flip-flop, together or apart."""
        return self.lut == self.flip_flop

    @property
    def coefficients(self) -> Coefficients:
        """The fitted costs of our kernels."""
        assert self.coefficients_file, f"{self.name} has none of our kernels"
        return _coefficients(self.coefficients_file)


@cache
def _coefficients(path: Path) -> Coefficients:
    return Coefficients(**json.loads(path.read_text()))
