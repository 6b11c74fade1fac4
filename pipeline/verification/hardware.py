"""The rungs from the core's Verilog to the board."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hw import netlist, parallel_board, simulate, tools, virtual_board
from hw.dataflow import Integers
from hw.deployment import Target, execute, find_package
from hw.host import Link
from hw.netlist import ChipModel
from hw.shell.port import parallel_port
from hw.shell.protocol import design_identity
from pipeline.errors import StoreError
from pipeline.verification.artefacts import Artefacts, Finding, compare

STALL_PERCENT = 30
LINK_TIMEOUT = 120.0  # seconds of silence: a simulated netlist on a busy machine is slow


def rtl(artefacts: Artefacts) -> Finding:
    """`core.v` in Verilator against golden: all frames at full rate, and again with random stalls."""
    x, expected = artefacts.frames, artefacts.expected()
    bound, threads = interval_bound(artefacts.folder), os.cpu_count() or 1
    simulator = simulate.CoreSimulator(
        artefacts.core,
        artefacts.interface,
        work=artefacts.scratch("rtl"),
        log=artefacts.log,
        weights=artefacts.weights,
    )
    free = simulator.run(x, threads=threads)
    seed = artefacts.config.verify.stall_seed
    stalled = simulator.run(x, stall_percent=STALL_PERCENT, seed=seed, threads=threads)
    metrics = {
        "interval_cycles": free.interval,
        "interval_bound_cycles": bound,
        "latency_cycles": free.latency,
        "stalled_interval_cycles": stalled.interval,
    }
    found = compare("golden", expected, free.outputs.astype(np.int64), **metrics)
    if found.passed:
        found = compare("golden", expected, stalled.outputs.astype(np.int64), **metrics)
    if not found.passed:
        where = first_layer(artefacts, expected, free.outputs.astype(np.int64))
        text = f"{found.first_mismatch}; {where}"
        return Finding(False, "golden", found.samples, found.mismatches, metrics, text)
    if free.interval != bound:
        text = f"interval {free.interval} cycles, the slowest layer allows {bound}"
        return Finding(False, "golden", found.samples, 0, metrics, text)
    return found


def interval_bound(folder: Path) -> int:
    """Cycles a frame of the slowest layer, from `layers.json`."""
    return max(int(layer["cycles"]) for layer in _layers(folder))


def _layers(folder: Path) -> list[dict[str, Any]]:
    path = folder / "layers.json"
    try:
        layers: list[dict[str, Any]] = json.loads(path.read_text())
        if not layers or not all("cycles" in layer for layer in layers):
            raise ValueError("not a list of layers")
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); build again") from error
    return layers


def first_layer(artefacts: Artefacts, expected: Integers, actual: Integers) -> str:
    """Name the first layer in which the core leaves golden, by listening to its streams."""
    bad = np.flatnonzero((expected != actual).any(axis=1))
    sample = int(bad[0]) if len(bad) else 0
    taps = tuple(
        simulate.Tap(layer["name"], layer["pe"], layer["output_bits"])
        for layer in _layers(artefacts.folder)
        if layer["kind"] == "Threshold"
    )
    wanted = artefacts.tapped(artefacts.x[sample : sample + 1])
    simulator = simulate.CoreSimulator(
        artefacts.core,
        artefacts.interface,
        work=artefacts.scratch("taps"),
        log=artefacts.log,
        weights=artefacts.weights,
        taps=taps,
    )
    for tap, values, found in zip(
        taps, wanted, simulator.run(artefacts.frames[sample : sample + 1]).taps, strict=True
    ):
        if not np.array_equal(values, found):
            return f"the first layer that differs is {tap.instance}"
    return "every layer's activations agree; the last layer differs"


def _chip(artefacts: Artefacts, rung: str, model: ChipModel, samples: int) -> Finding:
    """A chip model against golden: behind a pseudo-terminal and the host driver, or by its parallel port."""
    if artefacts.config.board.shell == "parallel":
        return _parallel(artefacts, rung, model, samples)
    board, work = artefacts.open_board, artefacts.scratch(rung)
    executable = virtual_board.build(
        model.sources,
        top=model.top,
        work=work / "simulator",
        log=artefacts.log,
        clocks_per_bit=board.clocks_per_bit,
        clock=model.clk,
        rx=model.rx,
        tx=model.tx,
        verilog_defines=model.defines,
        # For some 100,000 cycles, compiling takes longer than running; loading weights takes millions.
        optimize="-O1" if artefacts.weights else "-O0",
    )
    with virtual_board.VirtualBoard(executable, artefacts.log) as running:
        return _infer(artefacts, rung, running.port, samples)


def _parallel(artefacts: Artefacts, rung: str, model: ChipModel, samples: int) -> Finding:
    """A chip model under a master on its pins, both sides stalled at random, against golden."""
    x = artefacts.frames[:samples]
    found = parallel_board.run(
        model,
        x,
        artefacts.interface,
        parallel_port(artefacts.open_board, artefacts.interface),
        work=artefacts.scratch(rung) / "simulator",
        log=artefacts.log,
        stall_percent=STALL_PERCENT,
        seed=artefacts.config.verify.stall_seed,
        optimize="-O0",  # for some 100,000 cycles, compiling takes longer than running
    )
    metrics = {"stalled_interval_cycles": found.interval}
    return compare("golden", artefacts.expected()[: len(x)], found.outputs.astype(np.int64), **metrics)


def _infer(artefacts: Artefacts, rung: str, port: str, samples: int) -> Finding:
    """The first `samples` of the test set through whatever is behind a serial port, against golden."""
    x = artefacts.frames[:samples]
    with Link(port, artefacts.open_board.baud, timeout=LINK_TIMEOUT) as link:
        link.expect(design_identity(artefacts.core.read_bytes()))
        outputs = link.infer(
            x,
            artefacts.interface,
            lambda done: artefacts.step(f"{rung}, samples", done, len(x)),
            weights=artefacts.weights,
        )
    return compare("golden", artefacts.expected()[: len(x)], outputs.astype(np.int64))


def synthesized(artefacts: Artefacts) -> Finding:
    """The netlist that nextpnr placed, shell and all, simulated at its pins."""
    model = netlist.netlist_model(
        artefacts.open_board,
        artefacts.folder / "netlist.json",
        artefacts.scratch("netlist"),
        artefacts.log,
        shell=artefacts.config.board.shell,
    )
    return _chip(artefacts, "netlist", model, artefacts.config.verify.netlist_samples)


def bitstream(artefacts: Artefacts) -> Finding:
    """iCE40: the packed bits turned back into Verilog and simulated. ECP5: unpacked and packed again."""
    if artefacts.open_board.family == "ice40":
        return _decompiled(artefacts)
    return _repacked(artefacts)


def _decompiled(artefacts: Artefacts) -> Finding:
    used = json.loads((artefacts.folder / "utilization.json").read_text())["resources"]
    opaque = [name for name in ("ICESTORM_DSP", "ICESTORM_SPRAM") if used.get(name, {}).get("used")]
    if opaque:
        reason = f"the design uses {', '.join(opaque)}, which icestorm does not decompile"
        return Finding(None, "golden", skipped=reason)
    if tools.find(netlist.DECOMPILER).locate() is None:
        reason = f"{netlist.DECOMPILER} is not installed: {tools.find(netlist.DECOMPILER).hint}"
        return Finding(None, "golden", skipped=reason)
    model = netlist.bitstream_model(
        artefacts.open_board,
        artefacts.folder / "bitstream.bin",
        artefacts.folder / "constraints.pcf",
        artefacts.scratch("bitstream"),
        artefacts.log,
        shell=artefacts.config.board.shell,
    )
    return _chip(artefacts, "bitstream", model, artefacts.config.verify.bitstream_samples)


def _repacked(artefacts: Artefacts) -> Finding:
    same = netlist.repacks(
        artefacts.open_board,
        artefacts.folder / "bitstream.bit",
        artefacts.scratch("bitstream"),
        artefacts.log,
    )
    first = None if same else "unpacked and packed again, the bitstream is another"
    metrics = {"proof": "unpacked and packed again to the same bytes; not simulated"}
    return Finding(same, "itself, unpacked and packed again", 1, int(not same), metrics, first)


def board(artefacts: Artefacts) -> Finding:
    """The board by SSH or on a port, or the virtual one: shell and core as written, at the chip's pins."""
    if artefacts.target:
        return deployed(artefacts, artefacts.target)
    samples, shell = artefacts.config.verify.board_samples, artefacts.config.board.shell
    if artefacts.port:
        return _infer(artefacts, "board", artefacts.port, samples)
    identity = design_identity(artefacts.core.read_bytes())
    model = netlist.rtl_model(
        artefacts.open_board,
        artefacts.core,
        artefacts.interface,
        identity,
        artefacts.scratch("board"),
        shell=shell,
    )
    return _chip(artefacts, "board", model, samples)


def deployed(artefacts: Artefacts, target: Target) -> Finding:
    """FINN's package on a board reached by SSH, against golden, and how fast the board is."""
    package = find_package(artefacts.folder, artefacts.interface)
    x = artefacts.frames[: target.samples]
    ran = execute(target, package, x, artefacts.log)
    metrics = {**ran.measured, "package": package.digest, "sent": ran.sent}
    return compare("golden", artefacts.expected()[: len(x)], ran.outputs, **metrics)
