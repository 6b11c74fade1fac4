"""FINN's RTL in Verilator: whole data sets streamed through, in cycles that are counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from common.errors import VerificationError
from hw.finn.rtl import ARCHIVE, FINN_RTL, sources
from hw.finn.rtl.top import NAME
from hw.simulation import simulate, verilator


class FinnSimulator:
    """A compiled simulator of what `generate` made."""

    def __init__(self, made: Path, *, work: Path, log: Path, optimize: str = "-O1") -> None:
        """Compile the archive in folder `made` in the new folder `work`, `optimize` being the C++ level.

        Raises `VerificationError` where FINN has layers without RTL, `ToolError` where Verilator refuses it.
        """
        self.rtl = rtl = FINN_RTL.load(made)
        if rtl.missing:
            raise VerificationError(f"nothing to simulate: {rtl.missing}")
        self.log, self.folder = log, work / "sources"
        files = [path for path in sources.unpack(made / ARCHIVE, self.folder) if path.suffix != ".dat"]
        self.executable = verilator.build(
            sorted(files, key=lambda path: not path.stem.endswith("_pkg")),  # packages before their users
            top=NAME,
            harness=simulate.HARNESS,
            work=work / "build",
            log=log,
            defines={"I_BYTES": str(rtl.input.word_bytes), "O_BYTES": str(rtl.output.word_bytes)},
            optimize=optimize,
        )

    def run(
        self, frames: NDArray[Any], *, stall_percent: int = 0, seed: int = 0, threads: int = 1
    ) -> simulate.Simulation:
        """Stream frames (n, ...) through; outputs are (n, elements). Options and errors are `stream`'s."""
        found = simulate.stream(
            self.executable,
            self.rtl.input.to_bytes(frames),
            frames=len(frames),
            o_words=self.rtl.output.words,
            cwd=self.folder,  # FINN's thresholds are read by their names alone
            log=self.log,
            what="simulating FINN's RTL",
            stall_percent=stall_percent,
            seed=seed,
            threads=threads,
        )
        return replace(found, outputs=self.rtl.output.from_bytes(found.outputs.tobytes()))
