"""A chip's parallel port under a simulated master: whole frames through its pins, with random stalls."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import FrameError
from hw.boards.board import CONTROL_PINS
from hw.interface import CoreInterface
from hw.shells.port import PortWidths
from hw.simulation.netlist import ChipModel
from hw.tools.tools import run as run_tool

HARNESS = Path(__file__).parent / "harness" / "parallel.cpp"
SIGNALS = ("in_data", "out_data", *CONTROL_PINS)


@dataclass(frozen=True)
class ParallelRun:
    """Outputs `(n, *output shape)`, and the cycle in which each frame's last beat came out, `(n,)`."""

    outputs: NDArray[Any]
    last_out: NDArray[np.int64]

    @property
    def interval(self) -> int:
        """Cycles between frames once the buffers are full: the longest in the second half of the run."""
        steps = np.diff(self.last_out)
        return int(steps[len(steps) // 2 :].max()) if len(steps) else 0


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
) -> ParallelRun:
    """Stream `frames` `(n, *input shape)` through the pins, each side stalled in `stall_percent` of cycles.

    First half a frame goes in and the chip is reset. Raises `FrameError` where the frames do not fit the
    interface, `ToolError` where the chip breaks the protocol of the port or stops moving.
    """
    if frames.shape[1:] != interface.input.shape or str(frames.dtype) != interface.input.dtype:
        raise FrameError(
            f"frames are {frames.dtype} {frames.shape[1:]}, the core takes {interface.input.dtype} "
            f"{interface.input.shape}: give it the data of its build"
        )
    pins = {f"PORT_{signal.upper()}": model.pin(signal) for signal in SIGNALS} | {"PORT_CLOCK": model.clk}
    widths = {"PORT_IN_BYTES": str(_bytes(port.in_bits)), "PORT_OUT_BYTES": str(_bytes(port.out_bits))}
    executable = model.compile(HARNESS, pins, widths, work=work, log=log, optimize=optimize)
    stimulus, result, cycles = (work / name for name in ("stimulus", "result", "cycles"))
    stimulus.write_bytes(_to_beats(interface.input.to_bytes(frames), port.in_bits))
    frame_beats = interface.output.words * port.out_beats
    false_start = interface.input.words * port.in_beats // 2
    numbers = (len(frames) * frame_beats, frame_beats, false_start, seed, stall_percent)
    argv = [str(executable.resolve()), stimulus.name, result.name, cycles.name, *map(str, numbers)]
    run_tool(argv, cwd=work, log=log, what="driving the parallel port", products=[result, cycles])
    outputs = interface.output.from_bytes(_from_beats(result.read_bytes(), port.out_bits))
    return ParallelRun(outputs, np.fromfile(cycles, np.int64).reshape(len(frames), -1)[:, -1])


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
