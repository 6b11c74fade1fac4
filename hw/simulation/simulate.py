"""`core.v` in Verilator: streams whole data sets through, and counts cycles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import VerificationError
from hw.core.module import Tap
from hw.interface import CoreInterface
from hw.simulation import verilator
from hw.tools.tools import reading, run

HARNESS = Path(__file__).parent / "harness" / "core.cpp"
FEWEST = 100
"""The least frames for which another core is started."""


@dataclass(frozen=True)
class Simulation:
    """What came out, `(frames, *shape)`, and the cycles of each frame's first word in and last word out.

    `begins` are the frames before which the core was reset; cycles count from there.
    """

    outputs: NDArray[Any]
    first_in: NDArray[np.int64]
    last_out: NDArray[np.int64]
    taps: tuple[NDArray[np.int64], ...] = ()
    begins: tuple[int, ...] = (0,)

    @property
    def latency(self) -> int:
        """Cycles from the first word of the first frame to its last word out, both counted."""
        return int(self.last_out[0] - self.first_in[0]) + 1

    @property
    def interval(self) -> int:
        """Cycles between frames at steady rate: the longest in the second half of the frames since a reset.

        The first half fills the buffers, during which frames may come closer together.
        """
        steps = [np.diff(part) for part in np.split(self.last_out, self.begins[1:])]
        settled = [int(part[len(part) // 2 :].max()) for part in steps if len(part)]
        return max(settled, default=self.latency)


def drive(
    executable: Path, stimulus: bytes, arguments: Sequence[object], *, cwd: Path, log: Path, what: str
) -> tuple[bytes, NDArray[np.int64]]:
    """Run a harness in folder `cwd` on a stimulus: the words that it writes, and their cycles."""
    (cwd / "stimulus").write_bytes(stimulus)
    products = [Path("result"), Path("cycles")]
    argv = [str(executable.resolve()), "stimulus", *map(str, products), *map(str, arguments)]
    run(argv, cwd=cwd, log=log, what=what, products=products)
    return (cwd / "result").read_bytes(), np.fromfile(cwd / "cycles", np.int64)


def stream(
    executable: Path,
    stimulus: bytes,
    *,
    frames: int,
    o_words: int,
    cwd: Path,
    log: Path,
    what: str,
    stall_percent: int = 0,
    seed: int = 0,
    threads: int = 1,
    loads: Path | None = None,
) -> Simulation:
    """Stream words through a simulator made with `HARNESS`, in folder `cwd`; its outputs are bytes.

    `stimulus` has the words of `frames`; each frame gives `o_words`. The file `loads` is loaded first.
    Each side stalls at random in `stall_percent` of cycles. Several `threads` run as many cores, each with a
    part of the frames, at least `FEWEST`. Raises `ToolError` where a core stops moving.
    """
    parts = max(1, min(threads, frames // FEWEST))
    numbers = (frames, o_words, seed, stall_percent, parts, *([loads.name] if loads else []))
    result, cycles = drive(executable, stimulus, numbers, cwd=cwd, log=log, what=what)
    with reading(cwd / "cycles", "the cycles of a simulation"):
        first_in, last_out = cycles.reshape(2, frames)
    begins = tuple(part * frames // parts for part in range(parts))
    return Simulation(np.frombuffer(result, np.uint8), first_in, last_out, begins=begins)


class CoreSimulator:
    """A compiled simulator of one `core.v`."""

    def __init__(
        self,
        core: Path,
        interface: CoreInterface,
        *,
        work: Path,
        log: Path,
        weights: bytes = b"",
        taps: tuple[Tap, ...] = (),
        optimize: str = "-O1",
    ) -> None:
        """Compile at C++ level `optimize`; at -O1 a small CNN runs some 300,000 cycles a second.

        `weights` are loaded before the first frame of a run, in reset. Raises `ToolError` at any warning of
        Verilator's, `ModelFileError` where the weights are not the core's.
        """
        self.interface, self.work, self.log, self.taps = interface, work, log, taps
        work.mkdir(parents=True, exist_ok=True)
        defines = {
            "I_BYTES": str(interface.input.word_bits // 8),
            "O_BYTES": str(interface.output.word_bits // 8),
        }
        self.loads: Path | None = None
        if interface.weights is not None:
            self.loads = work / "loads"
            self.loads.write_bytes(interface.weights.pairs(weights).tobytes())
            defines["RETORT_LOAD"] = str(interface.weights.address_bits)
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
            optimize=optimize,
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

    def run(
        self, frames: NDArray[np.uint8], *, stall_percent: int = 0, seed: int = 0, threads: int = 1
    ) -> Simulation:
        """Stream `frames` `(n, *shape)` through, each side stalled at random in `stall_percent` of cycles.

        `threads` and errors are those of `stream`.
        """
        io, count = self.interface, len(frames)
        found = stream(
            self.executable,
            io.input.to_bytes(frames),
            frames=count,
            o_words=io.output.words,
            cwd=self.work,
            log=self.log,
            what="simulating core.v",
            stall_percent=stall_percent,
            seed=seed,
            threads=threads,
            loads=self.loads,
        )
        taps = tuple(self._read_tap(number, tap, count) for number, tap in enumerate(self.taps))
        with reading(self.work / "result", "the outputs of a simulation"):
            outputs = io.output.from_bytes(found.outputs.tobytes())
            if len(outputs) != count:
                raise ValueError(f"{len(outputs)} frames of {count}")
        return replace(found, outputs=outputs, taps=taps)

    def _read_tap(self, number: int, tap: Tap, frames: int) -> NDArray[np.int64]:
        """A tap's values as `(frames, elements)`; words beyond the last whole frame are left out."""
        path = self.work / f"result.tap{number}"
        with reading(path, "the values of a simulation"):
            raw = np.fromfile(path, np.uint8).reshape(-1, tap.word_bytes)
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : tap.lanes * tap.bits]
        values = bits.reshape(-1, tap.bits).astype(np.int64) @ (1 << np.arange(tap.bits))
        if len(values) < frames:
            raise VerificationError(f"{tap.instance}: gave {len(values)} values for {frames} frames")
        whole = len(values) // frames
        return values[: whole * frames].reshape(frames, whole)
