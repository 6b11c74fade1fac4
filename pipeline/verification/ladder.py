"""Climbing the ladder: all rungs, in order, their findings as `verification.json` has them."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from hw import tools
from hw.amd_boards import AmdBoard
from hw.boards import Board
from hw.deployment import Target
from hw.interface import CoreInterface
from hw.shell.port import Shell, parallel_port
from hw.shell.throughput import pace
from pipeline.config import Build, NetworkBuild
from pipeline.errors import LinkError, ToolError, VerificationError
from pipeline.progress import Step
from pipeline.verification import brought, finn_rtl, hardware, networks
from pipeline.verification.artefacts import Artefacts, Finding

T = TypeVar("T")
Row: TypeAlias = dict[str, Any]
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

    rungs: list[Row]
    performance: dict[str, Any]


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
        first = (BROUGHT if isinstance(config, NetworkBuild) else TRAINED) | FINN
        last = RTL | (AMD if artefacts.board.family == "amd" else OPEN) | (REACHED if target else {})
        total = len(first) + len(last)
        rungs = []
        for name in first:
            rungs.append(_climb_one(artefacts, name, first, key))
            step("rungs", len(rungs), total)
        for row in climb_side_by_side(artefacts, last, key):
            rungs.append(row)
            step("rungs", len(rungs), total)
    return Climbed(rungs, performance(artefacts.board, config.board.shell, artefacts.interface, rungs))


def climb_side_by_side(subject: T, rungs: Rungs[T], key: str, against: str = "golden") -> Iterator[Row]:
    """Climb rungs that are mostly Verilator and the C++ compiler at work: processes of their own.

    `against` is what a rung that could not be climbed would have compared with.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda name: _climb_one(subject, name, rungs, key, against), rungs)


def _climb_one(subject: T, name: str, rungs: Rungs[T], key: str, against: str = "golden") -> Row:
    rung, needs = rungs[name]
    began = time.monotonic()
    try:
        found = rung(subject)
    except (LinkError, ToolError, VerificationError) as error:
        found = Finding(False, against, first_mismatch=str(error))
    return row_of(name, found, time.monotonic() - began, key, needs)


def row_of(name: str, found: Finding, seconds: float, key: str, needs: tuple[str, ...]) -> Row:
    """A rung's finding as `verification.json` has it; `needs` names the tools."""
    row: Row = {
        "rung": name,
        "against": found.against,
        "samples": found.samples,
        "mismatches": found.mismatches,
        "metrics": found.metrics,
        "seconds": round(seconds, 3),
        "passed": found.passed,
        "key": key,
        "tools": {need: tools.find(need).require().version for need in needs},
    }
    if found.first_mismatch:
        row["first_mismatch"] = found.first_mismatch
    if found.skipped:
        row["skipped"] = found.skipped
    return row


def performance(
    board: Board | AmdBoard, shell: Shell, interface: CoreInterface, rungs: list[Row]
) -> dict[str, Any]:
    """The pace of what the board gets: of the core, or of FINN's RTL where that could be simulated."""
    names = ("interval_cycles", "interval_bound_cycles", "latency_cycles")
    found = [row["metrics"] for row in rungs if all(name in row["metrics"] for name in names)]
    if not found:
        return {}
    measured = found[-1]
    port = parallel_port(board, interface) if shell == "parallel" and isinstance(board, Board) else None
    seen = pace(board, interface, measured["interval_cycles"], port)
    return {name: measured[name] for name in names} | {"clock_hz": board.clock_hz} | asdict(seen)


def hardware_stage(stages: Iterable[str]) -> str:
    """Which of a build's `stages` names it in every finding: the one that makes what a board gets.

    Raises `KeyError` where there is none.
    """
    for name in stages:
        if name in ("bitstream", "finn-rtl"):
            return name
    raise KeyError("bitstream")


def failure(rungs: list[Row]) -> str | None:
    """The first rung that failed, and how; None where none did."""
    for row in rungs:
        if row["passed"] is False:
            return f"rung '{row['rung']}' failed against {row['against']}: {row.get('first_mismatch', '')}"
    return None
