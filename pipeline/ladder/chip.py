"""The rungs from a core's Verilog to the board, for whatever the core computes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LinkError, VerificationError
from common.progress import Step
from hw.boards.board import Board
from hw.host.host import Link
from hw.interface import CoreInterface
from hw.shells.port import Shell, parallel_port
from hw.shells.protocol import design_identity
from hw.simulation import netlist, parallel_board, simulate, virtual_board
from hw.simulation.netlist import ChipModel
from pipeline.config.build import VerifyConfig
from pipeline.ladder.artefacts import Finding, compare, varied

STALL_PERCENT = 30
LINK_TIMEOUT = 120.0  # seconds of silence: a simulated netlist on a busy machine is slow


@dataclass(frozen=True, eq=False, kw_only=True)
class Core:
    """A core, and what it has to give.

    Attributes:
        folder: of `core.v` and of what was made of it.
        interface: the core's streams.
        frames: uint8 (n, *shape), as the core takes them.
        expected: (n, outputs), what the core has to give for them, bit for bit.
        against: whose that is.
        limits: how many frames each of the slow rungs takes, and the seed of stalls.
        work: for scratch.
        log: takes what tools print.
        step: told of every frame over a serial link.
        weights: what has to be loaded before the core works.
    """

    folder: Path
    interface: CoreInterface
    frames: NDArray[np.uint8]
    expected: NDArray[np.int64]
    against: str
    limits: VerifyConfig
    work: Path
    log: Path
    step: Step
    weights: bytes = b""

    @property
    def verilog(self) -> Path:
        """The core's Verilog."""
        return self.folder / "core.v"

    @property
    def identity(self) -> bytes:
        """What a board that holds the core says of itself."""
        return design_identity(self.verilog.read_bytes())

    def scratch(self, rung: str) -> Path:
        """A folder for one rung."""
        folder = self.work / rung
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def simulator(self, name: str, taps: tuple[simulate.Tap, ...] = ()) -> simulate.CoreSimulator:
        """The core compiled by Verilator; `name` tells its scratch from others'."""
        return simulate.CoreSimulator(
            self.verilog,
            self.interface,
            work=self.scratch(name),
            log=self.log,
            weights=self.weights,
            taps=taps,
        )

    def some(self, count: int) -> NDArray[np.intp]:
        """The numbers of the frames that slow rungs take."""
        return varied(self.expected, count)

    def compared(
        self, outputs: NDArray[Any], rows: NDArray[np.intp] | None = None, **metrics: Any
    ) -> Finding:
        """What frames gave, all of them or those of numbers `rows`, against what they have to give."""
        expected = self.expected if rows is None else self.expected[rows]
        return compare(self.against, expected, outputs.astype(np.int64), rows, **metrics)


@dataclass(frozen=True, eq=False, kw_only=True)
class Chip(Core):
    """A core on a board of open tools.

    Attributes:
        board: the board.
        shell: how the core meets the world.
        port: the serial port of a real board that holds the bitstream; None for the virtual one.
    """

    board: Board
    shell: Shell
    port: str | None = None


def rtl(core: Core, bound: int) -> Finding:
    """`core.v` in Verilator: all frames at full rate, and again with random stalls.

    `bound` is the cycles a frame that the core has to reach, exactly.
    """
    threads = os.cpu_count() or 1
    simulator = core.simulator("rtl")
    free = simulator.run(core.frames, threads=threads)
    stalled = simulator.run(
        core.frames, stall_percent=STALL_PERCENT, seed=core.limits.stall_seed, threads=threads
    )
    metrics: dict[str, Any] = {
        "interval_cycles": free.interval,
        "interval_bound_cycles": bound,
        "latency_cycles": free.latency,
        "stalled_interval_cycles": stalled.interval,
    }
    found = core.compared(free.outputs, **metrics)
    if found.passed:
        found = core.compared(stalled.outputs, **metrics)
    if found.passed and free.interval != bound:
        text = f"interval {free.interval} cycles, the slowest layer allows {bound}"
        return Finding(False, core.against, found.samples, 0, metrics, text)
    return found


def synthesized(chip: Chip) -> Finding:
    """The netlist that nextpnr placed, shell and all, simulated at its pins."""
    model = netlist.netlist_model(
        chip.board, chip.folder / "netlist.json", chip.scratch("netlist"), chip.log, shell=chip.shell
    )
    return _simulated(chip, "netlist", model, chip.limits.netlist_samples)


def bitstream(chip: Chip) -> Finding:
    """The packed bits, decompiled and simulated; without a decompiler unpacked and packed again."""
    if chip.board.toolchain.decompiler:
        return _decompiled(chip)
    return _repacked(chip)


def board(chip: Chip) -> Finding:
    """The board on the chip's port, or the virtual one: shell and core as written, at the chip's pins."""
    samples = chip.limits.board_samples
    if chip.port:
        return _infer(chip, "board", chip.port, samples)
    model = netlist.rtl_model(
        chip.board, chip.verilog, chip.interface, chip.identity, chip.scratch("board"), shell=chip.shell
    )
    return _simulated(chip, "board", model, samples)


def reach(folder: Path, board: Board, port: str) -> None:
    """Ask the board on a port whether it holds the core in `folder`; raises `LinkError`."""
    with Link(port, board.baud) as link:
        link.expect(design_identity((folder / "core.v").read_bytes()))


def _simulated(chip: Chip, rung: str, model: ChipModel, samples: int) -> Finding:
    """A chip model behind a pseudo-terminal and the host driver, or by its parallel port."""
    try:
        return (_parallel if chip.shell == "parallel" else _serial)(chip, rung, model, samples)
    except LinkError as error:  # no cable and no port are there to blame, but the chip
        raise VerificationError(str(error)) from error


def _serial(chip: Chip, rung: str, model: ChipModel, samples: int) -> Finding:
    """A chip model behind a pseudo-terminal, and the host driver."""
    executable = virtual_board.build(
        model.sources,
        top=model.top,
        work=chip.scratch(rung) / "simulator",
        log=chip.log,
        clocks_per_bit=chip.board.clocks_per_bit,
        clock=model.clk,
        rx=model.rx,
        tx=model.tx,
        verilog_defines=model.defines,
        # For some 100,000 cycles, compiling takes longer than running; loading weights takes millions.
        optimize="-O1" if chip.weights else "-O0",
    )
    with virtual_board.VirtualBoard(executable, chip.log) as running:
        return _infer(chip, rung, running.port, samples)


def _parallel(chip: Chip, rung: str, model: ChipModel, samples: int) -> Finding:
    """A chip model under a master on its pins, both sides stalled at random."""
    rows = chip.some(samples)
    found = parallel_board.run(
        model,
        chip.frames[rows],
        chip.interface,
        parallel_port(chip.board, chip.interface),
        work=chip.scratch(rung) / "simulator",
        log=chip.log,
        stall_percent=STALL_PERCENT,
        seed=chip.limits.stall_seed,
        optimize="-O0",  # for some 100,000 cycles, compiling takes longer than running
    )
    return chip.compared(found.outputs, rows, stalled_interval_cycles=found.interval)


def _infer(chip: Chip, rung: str, port: str, samples: int) -> Finding:
    """Some frames through whatever is behind a serial port."""
    rows = chip.some(samples)
    x = chip.frames[rows]
    with Link(port, chip.board.baud, timeout=LINK_TIMEOUT) as link:
        link.expect(chip.identity)
        outputs = link.infer(
            x,
            chip.interface,
            lambda done: chip.step(f"{rung}, samples", done, len(x)),
            weights=chip.weights,
        )
    return chip.compared(outputs, rows)


def _decompiled(chip: Chip) -> Finding:
    # Weights are loaded into single-port RAM alone, and a core that has none of it fails the other rungs
    # where `io.json` says so. DSP slices are never asked for on iCE40.
    if chip.board.budget_of(chip.shell).single_port_rams and chip.interface.weights is not None:
        reason = "the core's weights are in single-port RAM, which icestorm does not decompile"
        return Finding(None, chip.against, skipped=reason)
    chain = chip.board.toolchain
    if chain.decompiler and chain.decompiler.locate() is None:
        reason = f"{chain.decompiler.name} is not installed: {chain.decompiler.hint}"
        return Finding(None, chip.against, skipped=reason)
    model = netlist.bitstream_model(
        chip.board,
        chip.folder / f"bitstream{chain.bitstream}",
        chip.folder / f"constraints{chain.constraints}",
        chip.scratch("bitstream"),
        chip.log,
        shell=chip.shell,
    )
    return _simulated(chip, "bitstream", model, chip.limits.bitstream_samples)


def _repacked(chip: Chip) -> Finding:
    packed = chip.folder / f"bitstream{chip.board.toolchain.bitstream}"
    same = netlist.repacks(chip.board, packed, chip.scratch("bitstream"), chip.log)
    first = None if same else "unpacked and packed again, the bitstream is another"
    metrics = {"proof": "unpacked and packed again to the same bytes; not simulated"}
    return Finding(same, "itself, unpacked and packed again", 1, int(not same), metrics, first)
