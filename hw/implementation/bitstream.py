"""From `core.v` to a bitstream: board top, synthesis, place and route, packing, and the tools' reports."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import CapacityError, TimingError, ToolError
from hw.boards.board import Board
from hw.boards.families.base import Toolchain
from hw.interface import CoreInterface
from hw.kernels.single_port import NAME as SINGLE_PORT
from hw.shells.chip import build_plan
from hw.shells.port import Shell, pins_json
from hw.tools.tools import reading, run, run_yosys

NETLIST = "top.json"
PLACED = "placed.json"
PINS = "pins.json"
HEADER_BYTES = 1 << 16
"""A bitstream has its synchronization, behind comments, within these bytes."""
CHAINS = Path(__file__).parent / "carry.v"


@dataclass(frozen=True)
class Use:
    """A resource of the chip.

    Attributes:
        used: how many the design takes.
        available: how many the board has.
    """

    used: int
    available: int


@dataclass(frozen=True)
class Utilization:
    """What place and route made of a design.

    Attributes:
        board: the board's name.
        device: the chip, with its package.
        resources: by nextpnr's or FINN's names.
        fmax_hz: the fastest clock that the routed design can have, in Hz.
        clock_hz: the board's clock, in Hz.
        timing_met: whether the design is as fast as that clock.
    """

    board: str
    device: str
    resources: Mapping[str, Use]
    fmax_hz: float
    clock_hz: int
    timing_met: bool

    def save(self, path: Path) -> None:
        """Write `utilization.json`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def synthesize(
    board: Board,
    core: Path,
    interface: CoreInterface,
    identity: bytes,
    *,
    work: Path,
    log: Path,
    shell: Shell = "uart",
    native: bool = False,
) -> None:
    """Leave in `work` the board top's netlist, its constraints, and `pins.json`.

    Raises `CapacityError` where the shell has too few pins, `ToolError`, `ToolMissingError`.
    """
    toolchain = board.toolchain
    plan = build_plan(board, core.read_text(), interface, identity, shell=shell)
    (work / PINS).write_text(pins_json(board, interface, shell))
    for name in ("core.v", "top.il", f"top{toolchain.constraints}"):
        content = plan.files[name]
        data = content.encode() if isinstance(content, str) else content
        (work / name).write_bytes(data)
    script = [
        "read_verilog core.v",
        "read_rtlil top.il",
        *synthesis(toolchain, "top", work, single_port=interface.weights is not None),
        "check -assert",
        "setattr -unset src =*",
        "setattr -mod -unset src =*",
        f"write_json {NETLIST}",
    ]
    what, products = f"synthesis for {board.name}", [Path(NETLIST)]
    run_yosys(script, cwd=work, log=log, what=what, products=products, native=native)
    _forget_insides(work / NETLIST)


def synthesis(toolchain: Toolchain, top: str, work: Path, *, single_port: bool = False) -> list[str]:
    """Yosys's commands that map modules to the cells of a family; each sum becomes a carry chain of its own.

    Single-port RAMs are mapped before flattening: with logic around it, their one address would become two.
    On a chip without such RAMs Yosys fails.
    """
    carry = os.path.relpath(CHAINS, work.resolve())
    rams = []
    if single_port and toolchain.single_port:
        rams = [f"select *_{SINGLE_PORT}_*", "opt", "memory_dff", "memory_collect"]
        rams += [*toolchain.single_port, "select -clear"]
    chains = [
        "proc",
        *rams,
        "flatten",
        "opt_expr",
        "opt_clean",
        "wreduce",
        "opt_clean",
        f"techmap -map {carry}",
    ]
    return [f"hierarchy -top {top}", *chains, "opt_clean", toolchain.synthesis.format(top=top)]


def _forget_insides(netlist: Path) -> None:
    """Keep only the ports of the vendor's cells: their insides are named after paths of this machine."""
    with reading(netlist, "a netlist of Yosys's"):
        content = json.loads(netlist.read_text())
        if not content["modules"]["top"]["cells"]:
            raise ValueError("no cells in module top")
        for name, module in content["modules"].items():
            if name != "top":
                module.update(cells={}, netnames={}, memories={})
    netlist.write_text(json.dumps(content, separators=(",", ":"), sort_keys=True) + "\n")


def _device_options(board: Board) -> list[str]:
    options = [f"--{board.device}", "--package", board.package]
    return [*options, "--speed", board.speed] if board.speed else options


def place_and_route(board: Board, *, work: Path, log: Path, seed: int, native: bool = False) -> Utilization:
    """Place and route the netlist in `work`.

    Raises `CapacityError` (which resource, by how much), `TimingError`, `ToolError`, `ToolMissingError`.
    """
    tools = board.toolchain
    argv = [*tools.nextpnr(native=native), *_device_options(board), "--json", NETLIST]
    argv += [f"--{tools.constraints[1:]}", f"top{tools.constraints}"]
    argv += [tools.routed_option, f"top{tools.routed}", "--write", PLACED]
    # nextpnr's exit code is the same for missed timing and for failure; the report is not.
    argv += ["--report", "report.json", "--seed", str(seed), "--timing-allow-fail"]
    products = [Path(f"top{tools.routed}"), Path(PLACED), Path("report.json")]
    try:
        run(argv, cwd=work, log=log, what=f"place and route for {board.name}", products=products)
    except ToolError as error:
        _check_capacity(board, packed_resources(log), str(error))
        raise
    utilization = read_report(board, work / "report.json")
    used = {name: use.used for name, use in utilization.resources.items()}
    _check_capacity(board, used, "")
    if not utilization.timing_met:
        raise TimingError(
            f"{board.name}: the design reaches {utilization.fmax_hz / 1e6:.2f} MHz of the board's"
            f" {board.clock_hz / 1e6:.2f} MHz; fold it less wide (compile.target_cycles up); see {log}"
        )
    return utilization


_USED = re.compile(r"^Info:\s+(\w+):\s*(\d{1,9})\s*/\s*\d+\s+\d+%", re.MULTILINE)


def packed_resources(log: Path) -> dict[str, int]:
    """Resources after packing, from nextpnr's log."""
    text = log.read_text(errors="replace")
    return {name: int(count) for name, count in _USED.findall(text)}


def _check_capacity(board: Board, used: Mapping[str, int], context: str) -> None:
    over = [
        f"{count - board.resources[name]} {name} too many ({count} of {board.resources[name]})"
        for name, count in sorted(used.items())
        if count > board.resources.get(name, count)
    ]
    if over:
        raise CapacityError(
            f"the design does not fit {board.name} ({board.device}): {', '.join(over)};"
            " take a narrower student or fold it further (compile.target_cycles up)"
        ) from (ToolError(context) if context else None)


def read_report(board: Board, path: Path) -> Utilization:
    """nextpnr's JSON report; raises `ToolError` where it holds no clock or no utilization."""
    with reading(path, "a report of nextpnr's"):
        report: dict[str, Any] = json.loads(path.read_text())
        fmax = min(float(clock["achieved"]) for clock in report["fmax"].values())
        used = {name: int(entry["used"]) for name, entry in report["utilization"].items()}
        if not (math.isfinite(fmax) and fmax > 0 and min(used.values()) >= 0):
            raise ValueError(f"{fmax} MHz, {used}")
    resources = {name: Use(used.get(name, 0), count) for name, count in board.resources.items()}
    device = f"{board.device}-{board.package}"
    fmax *= 1e6
    return Utilization(board.name, device, resources, fmax, board.clock_hz, fmax >= board.clock_hz)


def pack(board: Board, *, work: Path, log: Path, native: bool = False) -> Path:
    """The bitstream of the routed design in `work`; raises `ToolError`, `ToolMissingError`."""
    tools = board.toolchain
    routed, product = f"top{tools.routed}", f"top{tools.bitstream}"
    pack_file(tools, routed, product, work=work, log=log, native=native)
    return work / product


def pack_file(
    tools: Toolchain, routed: str, product: str, *, work: Path, log: Path, native: bool = False
) -> None:
    """`routed` (in `work`) to the bitstream `product`."""
    program = tools.native[1].name
    argv = [*tools.packer(native=native), routed, product]
    run(argv, cwd=work, log=log, what=f"{program} {routed}", products=[Path(product)])
    with (work / product).open("rb") as file:
        if tools.synchronization not in file.read(HEADER_BYTES):
            raise ToolError(f"{work / product}: no bitstream of {program}'s; see {log}")


def unpack_file(tools: Toolchain, bitstream: str, product: str, *, work: Path, log: Path) -> None:
    """The inverse of `pack_file`."""
    argv = [*tools.wheel.program(tools.unpacker), bitstream, product]
    run(argv, cwd=work, log=log, what=f"{tools.unpacker} {bitstream}", products=[Path(product)])
