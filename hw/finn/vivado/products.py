"""Checks every product of a build, whatever the exit code was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import TimingError, ToolError, VerificationError
from hw.finn.vivado.plan import CHECK, OUTCOME, Plan
from hw.finn.vivado.reports import Power, Timing, read_power, read_timing, read_utilization
from hw.implementation.bitstream import Utilization
from hw.tools.tools import reading

_SYNC = b"\xaa\x99\x55\x66"
"""The word that every configuration of an AMD chip begins with (UG470, UG570)."""

_XCLBIN = b"xclbin2\0"


@dataclass(frozen=True)
class VivadoUtilization(Utilization):
    """A design routed by Vivado: resources by FINN's names, timing, power, resources of each layer.

    `timing_met` is Vivado's verdict, which includes hold times and pulse widths.
    """

    timing: Timing
    power: Power
    by_layer: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Products:
    """A build's products, below `folder`.

    Attributes:
        files: relative to `folder`, the deployment package among them.
        utilization: of the placed and routed design, where it was made.
        verified: frames on which Vivado's simulator agrees with golden.
        versions: of FINN and Vivado, as found there.
    """

    folder: Path
    files: tuple[str, ...]
    utilization: VivadoUtilization | None
    verified: int
    versions: Mapping[str, str]


def load_outcome(out: Path) -> dict[str, Any] | None:
    """The script's report of its end; None where it wrote none."""
    try:
        found = json.loads((out / OUTCOME).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "status" in found else None


def check(plan: Plan, out: Path, log: Path) -> Products:
    """The products of a build that reports success.

    Raises:
        ToolError: it reports none, or a product is missing, empty, or not what it should be.
        VerificationError: Vivado's simulator gave other outputs than golden, or none.
        TimingError: the design misses its clock.
    """
    outcome = load_outcome(out)
    if outcome is None or outcome["status"] != "built":
        raise ToolError(f"FINN's builder: exit code 0 but {out / OUTCOME} does not say 'built'; see {log}")
    _check_verification(plan, out / "verification_output", log)
    for name in plan.products:
        path = out / name
        if not path.is_file() or not path.stat().st_size:
            raise ToolError(f"FINN's builder: exit code 0 but no {name}, or an empty one; see {log}")
        _check_bitfile(path, log)
    utilization = None
    if plan.target != "stitched-ip":
        utilization = _utilization(plan, out / "report")
        _check_timing(utilization, outcome["timing"], log)
    package = (path.relative_to(out).as_posix() for path in (out / "deploy").rglob("*") if path.is_file())
    files = sorted({*plan.products, *package})
    return Products(out, tuple(files), utilization, len(plan.expected), outcome["versions"])


def _check_bitfile(path: Path, log: Path) -> None:
    """Raise `ToolError` where a bitfile is none; its contents are not checked."""
    content = path.read_bytes() if path.suffix in (".bit", ".xclbin") else None
    if content is None:
        return
    found = _SYNC in content if path.suffix == ".bit" else content.startswith(_XCLBIN)
    if not found:
        raise ToolError(f"{path.name}: {len(content)} bytes that configure no AMD chip; see {log}")


def _check_verification(plan: Plan, folder: Path, log: Path) -> None:
    """Compare each output that FINN kept with golden, bit for bit, whatever FINN says."""
    for sample, expected in enumerate(plan.expected):
        paths = sorted(folder.glob(f"verify_{CHECK}_{sample}_*.npy"))
        where = f"the stitched design in Vivado's simulator, sample {sample}"
        if len(paths) != 1:
            skipped = ", ".join(path.name for path in sorted(folder.glob("*SKIPPED*")))
            raise VerificationError(f"{where}: {skipped or 'no result'}; see {log}")
        try:
            actual = np.load(paths[0], allow_pickle=False).reshape(-1)
        except (OSError, ValueError, EOFError) as error:
            raise VerificationError(
                f"{where}: {paths[0].name} cannot be read ({error}); see {log}"
            ) from error
        if actual.shape != expected.shape:
            raise VerificationError(f"{where}: {len(actual)} outputs, expected {len(expected)}; see {log}")
        bad = np.flatnonzero(actual != expected)
        if len(bad):
            first = int(bad[0])
            raise VerificationError(
                f"{where}, output {first}: expected {expected[first]}, got {actual[first]:g}; see {log}"
            )
        if not paths[0].stem.endswith("_SUCCESS"):
            raise VerificationError(f"{where}: equal, but FINN says {paths[0].name}; see {log}")


def _utilization(plan: Plan, report: Path) -> VivadoUtilization:
    timing = read_timing(report / "vivado_timing.rpt")
    by_layer = report / "post_synth_resources.json"
    with reading(report / "vivado_timing.rpt", "a slack of this clock's"):
        fmax = 1 / (1 / plan.board.clock_hz - timing.wns_ns * 1e-9)
    return VivadoUtilization(
        board=plan.board.name,
        device=plan.board.device,
        resources=read_utilization(report / "vivado_utilization.rpt"),
        fmax_hz=fmax,
        clock_hz=round(plan.board.clock_hz),
        timing_met=timing.met,
        timing=timing,
        power=read_power(report / "vivado_power.rpt"),
        by_layer=_read_layers(by_layer) if plan.target == "bitfile" else {},
    )


def _read_layers(path: Path) -> dict[str, dict[str, int]]:
    """FINN's `post_synth_resources.json`: resources of the whole, `(top)`, and of every layer found in it."""
    with reading(path, "resources that FINN found"):
        raw = json.loads(path.read_text())
        found = {name: {kind: int(count) for kind, count in uses.items()} for name, uses in raw.items()}
        if not found["(top)"]["LUT"]:
            raise ValueError("no LUTs at all")
    return found


def _check_timing(utilization: VivadoUtilization, warnings: list[str], log: Path) -> None:
    timing = utilization.timing
    slack = min(timing.wns_ns, timing.whs_ns, timing.wpws_ns)
    if timing.met and slack >= 0 and not timing.failing and not warnings:
        return
    told = f"; Vivado: {warnings[0]}" if warnings else ""
    raise TimingError(
        f"{utilization.board}: the routed design misses"
        f" {utilization.clock_hz / 1e6:.2f} MHz: worst slack {timing.wns_ns:g} ns setup, {timing.whs_ns:g} ns"
        f" hold, total {timing.tns_ns:g} ns, {timing.failing} endpoints fail{told}; fold it less wide"
        f" (compile.target_cycles up) or ask for a slower clock; see {log}"
    )
