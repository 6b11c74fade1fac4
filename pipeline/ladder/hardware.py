"""The rungs from the core's Verilog to the board."""

import os
from dataclasses import replace
from typing import Any

import numpy as np

from common.errors import LinkError, VerificationError
from hw.core.module import Tap
from hw.host.deployment import execute, find_package
from hw.host.host import Link
from hw.shells.port import parallel_port
from hw.simulation import netlist, parallel_board, virtual_board
from hw.simulation.netlist import ChipModel
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.result import RungResult

STALL_PERCENT = 30
LINK_TIMEOUT = 120.0  # seconds of silence: a simulated netlist on a busy machine is slow


def rtl(artefacts: Artefacts) -> RungResult:
    """`core.v` in Verilator: all frames at full rate, and again with random stalls.

    The interval has to be the bound exactly. Where outputs differ, the first layer that does is named.
    """
    threads = os.cpu_count() or 1
    bound = max(layer.cycles for layer in artefacts.layers)
    simulator = artefacts.simulator("rtl")
    free = simulator.run(artefacts.frames, threads=threads)
    stalled = simulator.run(
        artefacts.frames,
        stall_percent=STALL_PERCENT,
        seed=artefacts.config.verify.stall_seed,
        threads=threads,
    )
    metrics: dict[str, Any] = {
        "interval_cycles": free.interval,
        "interval_bound_cycles": bound,
        "latency_cycles": free.latency,
        "stalled_interval_cycles": stalled.interval,
    }
    found = artefacts.compared(free.outputs, **metrics)
    if found.passed:
        found = artefacts.compared(stalled.outputs, **metrics)
    if found.passed and free.interval != bound:
        text = f"interval {free.interval} cycles, the slowest layer allows {bound}"
        return replace(found, passed=False, first_mismatch=text)
    if found.differs_at is None:
        return found
    where = first_layer(artefacts, found.differs_at)
    return replace(found, first_mismatch=f"{found.first_mismatch}; {where}")


def first_layer(artefacts: Artefacts, sample: int) -> str:
    """Name the first layer in which the core leaves golden on a sample, by listening to its streams."""
    layers = [layer for layer in artefacts.layers if layer.kind == "Threshold"]
    if not layers:
        return "no layer has activations to compare"
    taps = tuple(Tap(layer.name, layer.pe or 1, layer.output_bits or 1) for layer in layers)
    wanted = artefacts.tapped(artefacts.x[sample : sample + 1], layers)
    found = artefacts.simulator("taps", taps).run(artefacts.frames[sample : sample + 1]).taps
    for tap, expected, actual in zip(taps, wanted, found, strict=True):
        if not np.array_equal(expected, actual):
            return f"the first layer that differs is {tap.instance}"
    return "every layer's activations agree; the last layer differs"


def synthesized(artefacts: Artefacts) -> RungResult:
    """The netlist that was placed, shell and all, simulated at the chip's pins."""
    model = netlist.netlist_model(
        artefacts.open_board,
        artefacts.folder / "netlist.json",
        artefacts.scratch("netlist"),
        artefacts.log,
        shell=artefacts.config.board.shell,
    )
    return _simulated(artefacts, "netlist", model, artefacts.config.verify.netlist_samples)


def bitstream(artefacts: Artefacts) -> RungResult:
    """The packed bits, decompiled and simulated; without a decompiler unpacked and packed again."""
    if artefacts.open_board.toolchain.decompiler:
        return _decompiled(artefacts)
    return _repacked(artefacts)


def board(artefacts: Artefacts) -> RungResult:
    """The board at `target`, or on `port`, or the virtual one: shell and core as written, at the pins."""
    samples = artefacts.config.verify.board_samples
    if artefacts.target:
        return deployed(artefacts)
    if artefacts.port:
        return _infer(artefacts, "board", artefacts.port, samples)
    model = netlist.rtl_model(
        artefacts.open_board,
        artefacts.core,
        artefacts.interface,
        artefacts.identity,
        artefacts.scratch("board"),
        shell=artefacts.config.board.shell,
    )
    return _simulated(artefacts, "board", model, samples)


def deployed(artefacts: Artefacts) -> RungResult:
    """FINN's package on the board at `target`, and how fast the board is.

    Raises `LinkError` by what went wrong with the board, `StoreError` where the folder holds no package.
    """
    target = artefacts.target
    assert target is not None, "a board reached by SSH"
    package = find_package(artefacts.folder, artefacts.interface)
    rows = artefacts.some(target.samples or len(artefacts.expected))
    ran = execute(target, package, artefacts.frames[rows], artefacts.log)
    metrics = {**ran.measured, "package": package.digest, "sent": ran.sent}
    return artefacts.compared(ran.outputs, rows, **metrics)


def _simulated(artefacts: Artefacts, rung: str, model: ChipModel, samples: int) -> RungResult:
    """A chip model behind a pseudo-terminal and the host driver, or by its parallel port."""
    run = _parallel if artefacts.config.board.shell == "parallel" else _serial
    try:
        return run(artefacts, rung, model, samples)
    except LinkError as error:  # there is no cable and no port to blame, only the chip
        raise VerificationError(str(error)) from error


def _serial(artefacts: Artefacts, rung: str, model: ChipModel, samples: int) -> RungResult:
    """A chip model behind a pseudo-terminal, and the host driver."""
    executable = virtual_board.build(
        model,
        work=artefacts.scratch(rung) / "simulator",
        log=artefacts.log,
        clocks_per_bit=artefacts.open_board.clocks_per_bit,
        # For some 100,000 cycles, compiling takes longer than running; loading weights takes millions.
        optimize="-O1" if artefacts.weights else "-O0",
    )
    with virtual_board.VirtualBoard(executable, artefacts.log) as running:
        return _infer(artefacts, rung, running.port, samples)


def _parallel(artefacts: Artefacts, rung: str, model: ChipModel, samples: int) -> RungResult:
    """A chip model under a master on its pins, both sides stalled at random."""
    rows = artefacts.some(samples)
    found = parallel_board.run(
        model,
        artefacts.frames[rows],
        artefacts.interface,
        parallel_port(artefacts.open_board, artefacts.interface),
        work=artefacts.scratch(rung) / "simulator",
        log=artefacts.log,
        stall_percent=STALL_PERCENT,
        seed=artefacts.config.verify.stall_seed,
        optimize="-O0",  # for some 100,000 cycles, compiling takes longer than running
    )
    return artefacts.compared(found.outputs, rows, stalled_interval_cycles=found.interval)


def _infer(artefacts: Artefacts, rung: str, port: str, samples: int) -> RungResult:
    """Some frames through whatever is behind a serial port."""
    rows = artefacts.some(samples)
    x = artefacts.frames[rows]
    with Link(port, artefacts.open_board.baud, timeout=LINK_TIMEOUT) as link:
        link.expect(artefacts.identity)
        outputs = link.infer(
            x,
            artefacts.interface,
            lambda done: artefacts.step(f"{rung}, samples", done, len(x)),
            weights=artefacts.weights,
        )
    return artefacts.compared(outputs, rows)


def _decompiled(artefacts: Artefacts) -> RungResult:
    board, shell = artefacts.open_board, artefacts.config.board.shell
    # Weights are loaded into single-port RAM alone, and a core that has none of it fails the other rungs
    # where `io.json` says so. DSP slices are never asked for on iCE40.
    if board.budget_of(shell).single_port_rams and artefacts.interface.weights is not None:
        reason = "the core's weights are in single-port RAM, which icestorm does not decompile"
        return RungResult(None, "golden", skipped=reason)
    chain = board.toolchain
    if chain.decompiler and chain.decompiler.locate() is None:
        reason = f"{chain.decompiler.name} is not installed: {chain.decompiler.hint}"
        return RungResult(None, "golden", skipped=reason)
    model = netlist.bitstream_model(
        board,
        artefacts.folder / f"bitstream{chain.bitstream}",
        artefacts.folder / f"constraints{chain.constraints}",
        artefacts.scratch("bitstream"),
        artefacts.log,
        shell=shell,
    )
    return _simulated(artefacts, "bitstream", model, artefacts.config.verify.bitstream_samples)


def _repacked(artefacts: Artefacts) -> RungResult:
    board, scratch = artefacts.open_board, artefacts.scratch("bitstream")
    packed = artefacts.folder / f"bitstream{board.toolchain.bitstream}"
    same = netlist.repacks(board, packed, scratch, artefacts.log)
    first = None if same else "unpacked and packed again, the bitstream is another"
    metrics = {"proof": "unpacked and packed again to the same bytes; not simulated"}
    return RungResult(same, "itself, unpacked and packed again", 1, int(not same), metrics, first)
