"""`core.v` in Verilator: whole data sets streamed through, in cycles that are counted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw import verilator
from hw.interface import CoreInterface
from hw.tools import run
from pipeline.errors import VerificationError

HARNESS = Path(__file__).parent / "harness" / "core.cpp"


@dataclass(frozen=True)
class Tap:
    """A stream inside `core.v` to listen to: the output of submodule `instance`, `lanes` values of `bits`."""

    instance: str
    lanes: int
    bits: int

    @property
    def word_bytes(self) -> int:
        """Bytes that Verilator keeps a word in."""
        bits = self.lanes * self.bits
        return next((size for size in (1, 2, 4, 8) if bits <= size * 8), -(-bits // 32) * 4)


@dataclass(frozen=True)
class Simulation:
    """What came out, `(frames, *shape)`, and the cycles of each frame's first word in and last word out."""

    outputs: NDArray[Any]
    first_in: NDArray[np.int64]
    last_out: NDArray[np.int64]
    taps: tuple[NDArray[np.int64], ...] = ()

    @property
    def latency(self) -> int:
        """Cycles from the first word of the first frame to its last word out, both counted."""
        return int(self.last_out[0] - self.first_in[0]) + 1

    @property
    def interval(self) -> int:
        """Cycles between frames at steady rate: the longest in the second half of the run.

        The first half fills the buffers, during which frames may come closer together.
        """
        steps = np.diff(self.last_out)
        return int(steps[len(steps) // 2 :].max()) if len(steps) else self.latency


class CoreSimulator:
    """A compiled simulator of one `core.v`."""

    def __init__(
        self, core: Path, interface: CoreInterface, *, work: Path, log: Path, taps: tuple[Tap, ...] = ()
    ) -> None:
        """Compile; raises `ToolError` where Verilator finds the slightest fault in the file."""
        self.interface, self.work, self.log, self.taps = interface, work, log, taps
        work.mkdir(parents=True, exist_ok=True)
        defines = {
            "I_BYTES": str(interface.input.word_bits // 8),
            "O_BYTES": str(interface.output.word_bits // 8),
        }
        harness, control = HARNESS, None
        if taps:
            harness, control = self._tapped()
        self.executable = verilator.build(
            [core],
            top="core",
            harness=harness,
            work=work,
            log=log,
            defines=defines,
            vlt=control,
            lint=True,
        )

    def _tapped(self) -> tuple[Path, Path]:
        """The harness with the taps' reads before it, and the file that makes their signals visible."""
        reads, rules = [], ["`verilator_config"]
        for number, tap in enumerate(self.taps):
            scope = f"(root)->core__DOT__{tap.instance}__DOT__o___05F"  # Verilator's way to write __
            reads.append(f"tap({number}, {scope}valid && {scope}ready, {scope}payload, {tap.word_bytes});")
            for port in ("valid", "ready", "payload"):
                rules.append(f'public_flat_rd -module "core_{tap.instance}" -var "o__{port}"')
        harness, control = self.work / "tapped.cpp", self.work / "taps.vlt"
        lines = [f"#define RETORT_TAPS {len(self.taps)}", f"#define RETORT_TAP_READS(root) {' '.join(reads)}"]
        harness.write_text("\n".join(lines) + "\n" + HARNESS.read_text())
        control.write_text("\n".join(rules) + "\n")
        return harness, control

    def run(self, frames: NDArray[np.uint8], *, stall_percent: int = 0, seed: int = 0) -> Simulation:
        """Stream `frames` `(n, *shape)` through, each side stalled at random in `stall_percent` of cycles.

        Raises `ToolError` where the core stops moving.
        """
        io = self.interface
        stimulus, result, cycles = (self.work / name for name in ("stimulus", "result", "cycles"))
        stimulus.write_bytes(io.input.to_bytes(frames))
        words = len(frames) * io.output.words
        argv = [str(self.executable.resolve()), stimulus.name, result.name, cycles.name]
        argv += [str(words), str(seed), str(stall_percent)]
        run(argv, cwd=self.work, log=self.log, what="simulating core.v", products=[result, cycles])
        moments = np.fromfile(cycles, np.int64)
        i_words = len(frames) * io.input.words
        return Simulation(
            io.output.from_bytes(result.read_bytes()),
            moments[:i_words].reshape(len(frames), -1)[:, 0],
            moments[i_words:].reshape(len(frames), -1)[:, -1],
            tuple(self._read_tap(number, tap, len(frames)) for number, tap in enumerate(self.taps)),
        )

    def _read_tap(self, number: int, tap: Tap, frames: int) -> NDArray[np.int64]:
        """A tap's values as `(frames, elements)`; words beyond the last whole frame are left out."""
        raw = np.fromfile(self.work / f"result.tap{number}", np.uint8).reshape(-1, tap.word_bytes)
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : tap.lanes * tap.bits]
        values = bits.reshape(-1, tap.bits).astype(np.int64) @ (1 << np.arange(tap.bits))
        if len(values) < frames:
            raise VerificationError(f"{tap.instance}: gave {len(values)} values for {frames} frames")
        whole = len(values) // frames
        return values[: whole * frames].reshape(frames, whole)
