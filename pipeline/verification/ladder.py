"""Climbing the ladder: all rungs, in order, their findings as `verification.json` has them."""

import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw import tools
from hw.deployment import Target
from pipeline import config as configuration
from pipeline.config import Build, NetworkBuild
from pipeline.errors import LinkError, StoreError, ToolError, VerificationError
from pipeline.outputs import read_lock
from pipeline.progress import Step
from pipeline.verification import brought, finn_rtl, hardware, networks
from pipeline.verification.artefacts import Artefacts, Finding, Rung

Rungs = dict[str, tuple[Rung, tuple[str, ...]]]

FINN: Rungs = {"finn": (networks.finn, ("finn-plus", "qonnx"))}
TRAINED: Rungs = {
    "teacher": (networks.teacher, ()),
    "student": (networks.student, ("torch",)),
    "onnxruntime": (networks.onnxruntime, ("onnxruntime", "torch")),
    "golden": (networks.golden, ("onnxruntime",)),
}
BROUGHT: Rungs = {
    "network": (brought.network, ("qonnx", "onnxruntime")),
    "golden": (brought.golden, ("finn-plus", "qonnx", "onnxruntime")),
}
RTL: Rungs = {"rtl": (hardware.rtl, ("verilator", "g++"))}
OPEN: Rungs = {
    "netlist": (hardware.synthesized, ("pyosys", "verilator", "g++")),
    "bitstream": (hardware.bitstream, ("verilator", "g++")),
    "board": (hardware.board, ("amaranth", "pyosys", "verilator", "g++")),
}
AMD: Rungs = {"finn-rtl": (finn_rtl.finn_rtl, ("finn-plus", "verilator", "g++"))}
REACHED: Rungs = {"board": (hardware.board, ("ssh",))}
"""By rung, in order: what it does, and the tools that it does it with."""


@dataclass(frozen=True)
class Climbed:
    """Every rung's finding, and the speed where a rung measured it."""

    rungs: list[dict[str, Any]]
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
        # What remains is mostly Verilator and the C++ compiler at work: processes of their own.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for row in pool.map(lambda name: _climb_one(artefacts, name, last, key), last):
                rungs.append(row)
                step("rungs", len(rungs), total)
    return Climbed(rungs, _performance(artefacts, rungs))


def _climb_one(artefacts: Artefacts, name: str, rungs: Rungs, key: str) -> dict[str, Any]:
    rung, needs = rungs[name]
    began = time.monotonic()
    try:
        found = rung(artefacts)
    except (LinkError, ToolError, VerificationError) as error:
        found = Finding(False, "golden", first_mismatch=str(error))
    return _row(name, found, time.monotonic() - began, key, needs)


def _row(name: str, found: Finding, seconds: float, key: str, needs: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {
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


def _performance(artefacts: Artefacts, rungs: list[dict[str, Any]]) -> dict[str, Any]:
    """The pace of what the board gets: of the core, or of FINN's RTL where that could be simulated."""
    names = ("interval_cycles", "interval_bound_cycles", "latency_cycles")
    found = [row["metrics"] for row in rungs if all(name in row["metrics"] for name in names)]
    if not found:
        return {}
    measured = found[-1]
    clock = artefacts.board.clock_hz
    rate = clock / measured["interval_cycles"]
    return {name: measured[name] for name in names} | {"clock_hz": clock, "frames_per_second": rate}


def hardware_stage(stages: Iterable[str]) -> str:
    """Which of a build's `stages` names it in every finding: the one that makes what a board gets.

    Raises `KeyError` where there is none.
    """
    for name in stages:
        if name in ("bitstream", "finn-rtl"):
            return name
    raise KeyError("bitstream")


def failure(rungs: list[dict[str, Any]]) -> str | None:
    """The first rung that failed, and how; None where none did."""
    for row in rungs:
        if row["passed"] is False:
            return f"rung '{row['rung']}' failed against {row['against']}: {row.get('first_mismatch', '')}"
    return None


def verify_folder(
    folder: Path, step: Step, port: str | None = None, target: Target | None = None
) -> list[dict[str, Any]]:
    """Climb the ladder again over a built folder, with a real board on `port` or `target`, or a virtual one.

    Raises `StoreError` where the folder is no build's.
    """
    config, key = _built(folder)
    with tempfile.TemporaryDirectory(prefix="retort-log-") as logs:
        log = Path(logs) / "verification.log"
        return climb(config, folder, key, log, step, port, target).rungs


def climb_board(folder: Path, target: Target, log: Path, step: Step) -> dict[str, Any]:
    """Climb the last rung alone, on a board reached by SSH.

    Raises `LinkError` where it cannot be climbed, `StoreError` where the folder is no build's, or holds no
    package for the board.
    """
    config, key = _built(folder)
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        artefacts = Artefacts(config, folder, Path(scratch), log, step, target=target)
        began = time.monotonic()
        found = hardware.deployed(artefacts, target)
    return _row("board", found, time.monotonic() - began, key, ("ssh",))


def _built(folder: Path) -> tuple[Build, str]:
    """What a folder was built from, and its key."""
    lock = read_lock(folder)
    try:
        config = configuration.parse(lock["config"], str(folder))
        return config, str(lock["stages"][hardware_stage(lock["stages"])]["key"])
    except KeyError as error:
        raise StoreError(f"{folder}: built without {error}; run retort build to its end") from error
