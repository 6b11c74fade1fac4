"""Climbing the ladder: all rungs in order, their results as `verification.json` has them."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from common.errors import DiskError, LinkError, RetortError, ToolError, VerificationError, by_exit_code
from common.terminal import Step
from hw.boards.boards import find
from hw.host.deployment import Target
from hw.shells.port import parallel_port
from hw.shells.throughput import pace
from pipeline.artefacts.hardware import Performance
from pipeline.artefacts.verification import Rung
from pipeline.config.build import Build
from pipeline.ladder import finn_rtl, hardware
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.result import RungResult


class Check(NamedTuple):
    """What a rung does with the `Artefacts` of its kind of student, and the tools that it calls."""

    run: Callable[[Any], RungResult]
    tools: tuple[str, ...] = ()


Rungs: TypeAlias = Mapping[str, Check]
"""By name, in order."""

CORE: Rungs = {"rtl": Check(hardware.rtl, ("verilator", "g++"))}
OPEN: Rungs = {
    "netlist": Check(hardware.synthesized, ("pyosys", "verilator", "g++")),
    "bitstream": Check(hardware.bitstream, ("verilator", "g++")),
    "board": Check(hardware.board, ("amaranth", "pyosys", "verilator", "g++")),
}
AMD: Rungs = {"finn-rtl": Check(finn_rtl.finn_rtl, ("finn-plus", "verilator", "g++"))}
REACHED: Rungs = {"board": Check(hardware.board, ("ssh",))}


@dataclass(frozen=True)
class Ladder:
    """The rungs of a kind of student up to its integer reference, and how they read a build's folder."""

    artefacts: type[Artefacts]
    networks: Rungs

    def rungs(self, config: Build, *, reached: bool) -> Rungs:
        """All rungs of a build; `reached` adds that of a board reached by SSH."""
        return {**self.networks, **self.hardware(config, reached=reached)}

    @staticmethod
    def hardware(config: Build, *, reached: bool) -> Rungs:
        """The rungs from the core on."""
        amd = find(config.board.name).family.uses_vivado
        return {**CORE, **(AMD if amd else OPEN), **(REACHED if reached else {})}


@dataclass(frozen=True)
class Climbed:
    """The result of every rung, and the speed where a rung measured it."""

    rungs: list[Rung]
    performance: Performance | None


def climb(
    ladder: Ladder,
    config: Build,
    folder: Path,
    key: str,
    log: Path,
    step: Step,
    port: str | None = None,
    target: Target | None = None,
) -> Climbed:
    """Climb all rungs over the files in `folder`; what fails does not stop the rest.

    `key` names the build in every result, `log` takes what tools print, `port` or `target` has a real board,
    if any.
    """
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        artefacts = ladder.artefacts(config, folder, Path(scratch), log, step, port, target)
        last = ladder.hardware(config, reached=target is not None)
        total = len(ladder.networks) + len(last)
        rows = []
        for row in _climb_all(artefacts, ladder.networks, last, key):
            rows.append(row)
            step("rungs", len(rows), total)
        return Climbed(rows, performance(artefacts, rows))


def _climb_all(artefacts: Artefacts, networks: Rungs, hardware: Rungs, key: str) -> Iterator[Rung]:
    """One rung after the other up to the core, then all at once: those are mostly processes of their own."""
    climb_named = partial(_climb_one, artefacts, {**networks, **hardware}, key)
    yield from map(climb_named, networks)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(climb_named, hardware)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for rungs that have not begun


def _climb_one(artefacts: Artefacts, rungs: Rungs, key: str, name: str) -> Rung:
    check, began = rungs[name], time.monotonic()
    try:
        found = check.run(artefacts)
    except (ToolError, VerificationError) as error:  # a core that is stuck ends its simulator, too
        found = RungResult(False, "golden", first_mismatch=str(error))
    except (DiskError, LinkError) as error:
        found = RungResult(False, "golden", error=error)
    return found.row(name, time.monotonic() - began, key, check.tools)


def performance(artefacts: Artefacts, rungs: list[Rung]) -> Performance | None:
    """The pace of what the board gets: of the core, or of FINN's RTL where that could be simulated."""
    names = ("interval_cycles", "interval_bound_cycles", "latency_cycles")
    found = [rung.metrics for rung in rungs if all(name in rung.metrics for name in names)]
    if not found:
        return None
    cycles, interface = {name: found[-1][name] for name in names}, artefacts.interface
    parallel = artefacts.config.board.shell == "parallel"
    port = parallel_port(artefacts.open_board, interface) if parallel else None
    seen = pace(artefacts.board, interface, cycles["interval_cycles"], port)
    return Performance(**asdict(seen), **cycles, clock_hz=artefacts.board.clock_hz)


def hardware_stage(stages: Iterable[str]) -> str | None:
    """Which of a build's `stages` names it in every result: the one that makes what a board gets."""
    return next((name for name in stages if name in ("bitstream", "finn-rtl")), None)


def failure(rungs: Iterable[Rung], where: str) -> RetortError | None:
    """The error that rungs of the build `where` end with; None where none failed.

    A mismatch, of the first rung that found one, outranks an error that kept a rung from being climbed.
    """
    bad = [rung for rung in rungs if rung.passed is False]
    rung = next((rung for rung in bad if rung.failed), None)
    if rung:
        return VerificationError(f"{where}: rung '{rung.rung}' failed: {rung.summary}")
    for rung in bad:
        assert rung.error is not None
        return by_exit_code(rung.error.exit_code)(f"{where}: rung '{rung.rung}': {rung.error.message}")
    return None
