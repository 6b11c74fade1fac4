"""Simulation models of a chip: its RTL, its synthesized netlist, its decompiled bitstream.

All three have the same pins: the virtual board, or the driver of the parallel port, runs any of them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.boards.board import Board
from hw.boards.families.base import Toolchain
from hw.implementation.bitstream import pack_file, unpack_file
from hw.interface import CoreInterface
from hw.shells.chip import chip_verilog
from hw.shells.port import Shell, parallel_port
from hw.simulation import verilator
from hw.tools.tools import reading, run, run_yosys, wheel_folder


@dataclass(frozen=True)
class ChipModel:
    """Verilog of a whole chip: files, top module, clock, and the name of a pin, {} for the shell's signal."""

    sources: tuple[Path, ...]
    top: str
    clk: str = "clk"
    pins: str = "{}"
    defines: Mapping[str, str] = field(default_factory=dict)

    def pin(self, signal: str) -> str:
        """The pin of a signal of the shell."""
        return self.pins.format(signal)

    def compile(
        self,
        harness: Path,
        pins: Mapping[str, str],
        settings: Mapping[str, str],
        *,
        work: Path,
        log: Path,
        optimize: str,
    ) -> Path:
        """A simulator: `harness` drives `pins`, by its macro for each; `settings` are its other macros.

        Raises `ToolError`, `ToolMissingError`.
        """
        named = {macro: pin.replace("__", "___05F") for macro, pin in pins.items()}  # as Verilator does
        return verilator.build(
            self.sources,
            top=self.top,
            harness=harness,
            work=work,
            log=log,
            defines=named | dict(settings),
            verilog_defines=self.defines,
            optimize=optimize,
        )


def rtl_model(
    board: Board, core: Path, interface: CoreInterface, identity: bytes, work: Path, *, shell: Shell = "uart"
) -> ChipModel:
    """Shell and core before synthesis."""
    chip = work / "chip.v"
    port = parallel_port(board, interface) if shell == "parallel" else None
    text = chip_verilog(interface, identity, work / "chip", clocks_per_bit=board.clocks_per_bit, port=port)
    chip.write_text(text)
    return ChipModel((chip, core), "chip")


def netlist_model(board: Board, netlist: Path, work: Path, log: Path, *, shell: Shell = "uart") -> ChipModel:
    """The synthesized netlist, the very file that nextpnr takes, over the cells as Yosys describes them.

    Raises `ToolError`.
    """
    model, tools = Path("netlist_model.v"), board.toolchain
    script = [
        f"read_json {_relative(netlist, work)}",
        f"techmap -map {_relative(tools.pads, work)}",
        "deminout",
        *(f"chtype -set {ours} t:{cell}" for cell, ours in tools.renamed.items()),
        f"write_verilog -noattr -norename {model}",
    ]
    run_yosys(script, cwd=work, log=log, what="yosys, netlist for simulation", products=[model])
    return _on_board(board, (work / model, _cells(tools), *tools.models), shell)


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def bitstream_model(
    board: Board, bitstream: Path, constraints: Path, work: Path, log: Path, *, shell: Shell = "uart"
) -> ChipModel:
    """A bitstream turned back into Verilog by the family's decompiler.

    Raises `ToolMissingError` where it is not installed, `ToolError` where it fails or there is none.
    """
    tools = board.toolchain
    if tools.decompiler is None:
        raise ToolError(f"no decompiler for {board.family.title} bitstreams")
    for name, source in ((bitstream.name, bitstream), (f"top{tools.constraints}", constraints)):
        if (work / name).resolve() != source.resolve():
            (work / name).write_bytes(source.read_bytes())
    unpack_file(tools, bitstream.name, "unpacked.asc", work=work, log=log)
    return decompile(board, work / "unpacked.asc", work, log, shell=shell)


def repacks(board: Board, bitstream: Path, work: Path, log: Path) -> bool:
    """Whether a bitstream, unpacked and packed again, gives the same bytes; raises `ToolError`."""
    original = bitstream.read_bytes()
    (work / bitstream.name).write_bytes(original)
    unpack_file(board.toolchain, bitstream.name, "unpacked", work=work, log=log)
    pack_file(board.toolchain, "unpacked", "repacked", work=work, log=log)
    return (work / "repacked").read_bytes() == original


def decompile(board: Board, unpacked: Path, work: Path, log: Path, *, shell: Shell = "uart") -> ChipModel:
    """The Verilog of an unpacked bitstream; `work` holds the pin constraints."""
    tools = board.toolchain
    assert tools.decompiler is not None
    program = str(tools.decompiler.executable())
    printed = work / "decompiled.txt"
    printed.unlink(missing_ok=True)
    names = {"package": board.package, "constraints": f"top{tools.constraints}"}
    argv = [program, *(option.format(**names) for option in tools.decompiler_options)]
    name = tools.decompiler.name
    try:
        run([*argv, unpacked.name], cwd=work, log=printed, what=f"{name} {unpacked.name}")
        with reading(printed, f"Verilog of {name}'s"):
            text = printed.read_text()
            if not re.search(r"^module top\b[^;]*;", text, re.MULTILINE) or "endmodule" not in text:
                raise ValueError("exit code 0 but no module top")
    except ToolError as error:
        # `work` may be gone when the message is read.
        with log.open("ab") as sink:
            sink.write(printed.read_bytes())
        raise ToolError(str(error).replace(str(printed), str(log))) from error
    model = work / "decompiled.v"
    model.write_text(_declared_once(text[text.index("module top") :]))
    return _on_board(board, (model, _cells(tools)), shell)


def _declared_once(text: str) -> str:
    """The decompiler declares ports a second time as wires, which Verilator refuses."""
    header = text[: text.index(";")]
    ports = set(re.findall(r"(?:input|output|inout)\s+(?:\[[^]]*\]\s*)?(\w+)", header))

    def without_ports(match: re.Match[str]) -> str:
        names = [name.strip() for name in match[1].split(",")]
        # An escaped name ends with a blank.
        kept = [f"{name} " if name[0] == "\\" else name for name in names if name not in ports]
        return f"wire {', '.join(kept)};" if kept else ""

    return re.sub(r"^wire ([^;]+);", without_ports, text, flags=re.MULTILINE)


def _on_board(board: Board, sources: tuple[Path, ...], shell: Shell) -> ChipModel:
    """A model with the pin names of the board's platform."""
    clock = board.make_platform().default_clk
    return ChipModel(sources, "top", f"{clock}_0__io", f"{shell}_0__{{}}__io", board.toolchain.defines)


def _cells(tools: Toolchain) -> Path:
    """Yosys's simulation models of the family's cells, from the pyosys wheel."""
    path = wheel_folder("pyosys") / "pyosys" / "share" / tools.cells / "cells_sim.v"
    if not path.is_file():
        raise ToolMissingError(f"pyosys came without {path}: install the locked version again")
    return path
