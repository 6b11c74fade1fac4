"""Climbing the ladder: all rungs, in order, their findings as `verification.json` has them."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from common.errors import DiskError, LinkError, RetortError, ToolError, VerificationError, by_exit_code
from common.progress import Step
from hw.boards.board import Board
from hw.boards.boards import find
from hw.host.deployment import Target
from hw.interface import CoreInterface
from hw.shells.port import Shell, parallel_port
from hw.shells.throughput import pace
from hw.tools import tools
from pipeline.artefacts.hardware import Performance
from pipeline.artefacts.verification import Rung, RungError
from pipeline.config.build import Build
from pipeline.config.imported import ImportedStudent
from pipeline.ladder import brought, finn_rtl, hardware, networks
from pipeline.ladder.artefacts import Artefacts, Finding

T = TypeVar("T")
Rungs: TypeAlias = dict[str, tuple[Callable[[T], Finding], tuple[str, ...]]]

FINN: Rungs[Artefacts] = {"finn": (networks.finn, ("finn-plus", "qonnx"))}
TRAINED: Rungs[Artefacts] = {
    "teacher": (networks.teacher, ()),
    "student": (networks.student, ("torch",)),
    "onnxruntime": (networks.onnxruntime, ("onnxruntime", "torch")),
    "golden": (networks.golden, ("onnxruntime",)),
}
BROUGHT: Rungs[Artefacts] = {
    "network": (brought.network, ("qonnx", "onnxruntime")),
    "golden": (brought.golden, ("finn-plus", "qonnx", "onnxruntime")),
}
RTL: Rungs[Artefacts] = {"rtl": (hardware.rtl, ("verilator", "g++"))}
OPEN: Rungs[Artefacts] = {
    "netlist": (hardware.synthesized, ("pyosys", "verilator", "g++")),
    "bitstream": (hardware.bitstream, ("verilator", "g++")),
    "board": (hardware.board, ("amaranth", "pyosys", "verilator", "g++")),
}
AMD: Rungs[Artefacts] = {"finn-rtl": (finn_rtl.finn_rtl, ("finn-plus", "verilator", "g++"))}
REACHED: Rungs[Artefacts] = {"board": (hardware.board, ("ssh",))}
"""By rung, in order: what it does, and the tools that it does it with."""


@dataclass(frozen=True)
class Climbed:
    """Every rung's finding, and the speed where a rung measured it."""

    rungs: list[Rung]
    performance: Performance | None


def climb(
    config: Build,
    folder: Path,
    key: str,
    log: Path,
    step: Step,
    port: str | None = None,
    target: Target | None = None,
) -> Climbed:
    """Climb all rungs over the files in `folder`; what fails does not stop the rest.

    `key` names the build in every finding, `log` takes what tools print, `port` or `target` has a real board,
    if any.
    """
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        artefacts = Artefacts(config, folder, Path(scratch), log, step, port, target)
        first, last = rungs_of(config, reached=target is not None)
        total = len(first) + len(last)
        rungs = []
        for name in first:
            rungs.append(_climb_one(artefacts, name, first, key))
            step("rungs", len(rungs), total)
        for row in climb_side_by_side(artefacts, last, key):
            rungs.append(row)
            step("rungs", len(rungs), total)
    return Climbed(rungs, performance(artefacts.board, config.board.shell, artefacts.interface, rungs))


def rungs_of(config: Build, *, reached: bool) -> tuple[Rungs[Artefacts], Rungs[Artefacts]]:
    """A build's rungs, those before and from the core on, with that of a board `reached` by SSH."""
    first = (BROUGHT if isinstance(config.student, ImportedStudent) else TRAINED) | FINN
    amd = find(config.board.name).family.uses_vivado
    return first, RTL | (AMD if amd else OPEN) | (REACHED if reached else {})


def climb_side_by_side(subject: T, rungs: Rungs[T], key: str, against: str = "golden") -> Iterator[Rung]:
    """Climb rungs that are mostly Verilator and the C++ compiler at work: processes of their own.

    `against` is what a rung that could not be climbed would have compared with.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(lambda name: _climb_one(subject, name, rungs, key, against), rungs)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for rungs that have not begun


def _climb_one(subject: T, name: str, rungs: Rungs[T], key: str, against: str = "golden") -> Rung:
    rung, needs = rungs[name]
    began = time.monotonic()
    try:
        found = rung(subject)
    except (ToolError, VerificationError) as error:  # a core that is stuck ends its simulator, too
        found = Finding(False, against, first_mismatch=str(error))
    except (DiskError, LinkError) as error:
        found = Finding(False, against, error=error)
    return row_of(name, found, time.monotonic() - began, key, needs)


def row_of(name: str, found: Finding, seconds: float, key: str, needs: tuple[str, ...]) -> Rung:
    """A rung's finding as `verification.json` has it; `needs` names the tools."""
    return Rung(
        rung=name,
        against=found.against,
        samples=found.samples,
        mismatches=found.mismatches,
        metrics=found.metrics,
        seconds=round(seconds, 3),
        passed=found.passed,
        key=key,
        tools={need: tools.find(need).require().version for need in needs},
        first_mismatch=found.first_mismatch,
        skipped=found.skipped,
        error=RungError.of(found.error) if found.error else None,
    )


def performance(
    board: Board, shell: Shell, interface: CoreInterface, rungs: list[Rung]
) -> Performance | None:
    """The pace of what the board gets: of the core, or of FINN's RTL where that could be simulated."""
    names = ("interval_cycles", "interval_bound_cycles", "latency_cycles")
    found = [rung.metrics for rung in rungs if all(name in rung.metrics for name in names)]
    if not found:
        return None
    cycles = {name: found[-1][name] for name in names}
    port = parallel_port(board, interface) if shell == "parallel" and not board.finn_board else None
    seen = pace(board, interface, cycles["interval_cycles"], port)
    return Performance(**asdict(seen), **cycles, clock_hz=board.clock_hz)


def hardware_stage(stages: Iterable[str]) -> str:
    """Which of a build's `stages` names it in every finding: the one that makes what a board gets.

    Raises `KeyError` where there is none.
    """
    for name in stages:
        if name in ("bitstream", "finn-rtl"):
            return name
    raise KeyError("bitstream")


def failure(rungs: Iterable[Rung], where: str) -> RetortError | None:
    """The error that rungs of the build `where` end with; None where none failed.

    A mismatch, of the first rung that found one, says more of a build than what kept another from being
    climbed, which is the error of its own kind.
    """
    bad = [rung for rung in rungs if rung.passed is False]
    rung = next((rung for rung in bad if rung.failed), None)
    if rung:
        return VerificationError(f"{where}: rung '{rung.rung}' failed: {rung.summary}")
    for rung in bad:
        assert rung.error is not None
        return by_exit_code(rung.error.exit_code)(f"{where}: rung '{rung.rung}': {rung.error.message}")
    return None
