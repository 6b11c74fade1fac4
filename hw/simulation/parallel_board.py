"""A chip's parallel port under a simulated master: whole frames through its pins, with random stalls."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.boards.board import CONTROL_PINS
from hw.interface import CoreInterface
from hw.shells.port import PortWidths
from hw.simulation.netlist import ChipModel
from hw.simulation.simulate import Simulation, drive

HARNESS = Path(__file__).parent / "harness" / "parallel.cpp"
SIGNALS = ("in_data", "out_data", *CONTROL_PINS)


def run(
    model: ChipModel,
    frames: NDArray[np.uint8],
    interface: CoreInterface,
    port: PortWidths,
    *,
    work: Path,
    log: Path,
    stall_percent: int = 0,
    seed: int = 0,
    optimize: str = "-O1",
) -> Simulation:
    """Stream `frames` `(n, *input shape)` through the pins, each side stalled in `stall_percent` of cycles.

    Half a frame goes in first, and the chip is reset. Cycles count from there. Raises `FrameError` where the
    frames do not fit the interface, `ToolError` where the chip breaks the port's protocol or stops moving.
    """
    interface.input.require(frames)
    pins = {f"PORT_{signal.upper()}": model.pin(signal) for signal in SIGNALS} | {"PORT_CLOCK": model.clk}
    widths = {"PORT_IN_BYTES": str(_bytes(port.in_bits)), "PORT_OUT_BYTES": str(_bytes(port.out_bits))}
    executable = model.compile(HARNESS, pins, widths, work=work, log=log, optimize=optimize)
    frame_beats = interface.output.words * port.out_beats
    false_start = interface.input.words * port.in_beats // 2
    numbers = (len(frames) * frame_beats, frame_beats, false_start, seed, stall_percent)
    stimulus = _to_beats(interface.input.to_bytes(frames), port.in_bits)
    what = "driving the parallel port"
    result, cycles = drive(executable, stimulus, numbers, cwd=work, log=log, what=what)
    last_out = cycles.reshape(len(frames), -1)[:, -1]
    outputs = interface.output.from_bytes(_from_beats(result, port.out_bits))
    return Simulation(outputs, np.zeros_like(last_out), last_out)


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _to_beats(data: bytes, bits: int) -> bytes:
    """A byte stream cut into beats of `bits`, low bits first, each beat in whole bytes."""
    flat = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").reshape(-1, bits)
    return np.packbits(flat, axis=1, bitorder="little").tobytes()


def _from_beats(data: bytes, bits: int) -> bytes:
    """The inverse of `_to_beats`."""
    beats = np.frombuffer(data, np.uint8).reshape(-1, _bytes(bits))
    return np.packbits(np.unpackbits(beats, axis=1, bitorder="little")[:, :bits], bitorder="little").tobytes()
