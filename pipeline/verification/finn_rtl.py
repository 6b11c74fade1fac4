"""The rung of AMD boards: FINN's own RTL."""

import os
from typing import Any

import numpy as np

from hw.finn_rtl import FinnRtl
from hw.finn_rtl.simulate import FinnSimulator
from pipeline.verification.artefacts import Artefacts, Finding, compare, varied
from pipeline.verification.chip import STALL_PERCENT

STALLED = 256
"""Samples of the second run, whose stalls find what a steady stream does not."""


def finn_rtl(artefacts: Artefacts) -> Finding:
    """FINN's RTL in Verilator against golden: all frames at full rate, and some with random stalls."""
    rtl = FinnRtl.load(artefacts.folder)
    metrics: dict[str, Any] = {
        "interval_bound_cycles": rtl.estimate.interval_cycles,
        "estimated_latency_cycles": rtl.estimate.latency_cycles,
    }
    if rtl.missing:
        return Finding(None, "golden", metrics=metrics, skipped=rtl.missing)
    x, expected = artefacts.frames, artefacts.expected()
    work = artefacts.work / "finn-rtl"
    work.mkdir(parents=True, exist_ok=True)
    simulator = FinnSimulator(artefacts.folder, work=work, log=artefacts.log, optimize="-O3")
    free = simulator.run(x, threads=os.cpu_count() or 1)
    rows = varied(expected, STALLED)
    stalled = simulator.run(x[rows], stall_percent=STALL_PERCENT, seed=artefacts.config.verify.stall_seed)
    metrics |= {"interval_cycles": free.interval, "latency_cycles": free.latency}
    metrics |= {"stalled_samples": len(stalled.outputs), "stalled_interval_cycles": stalled.interval}
    found = compare("golden", expected, free.outputs.astype(np.int64), **metrics)
    if found.passed:
        again = compare("golden", expected[rows], stalled.outputs.astype(np.int64), rows, **metrics)
        found = found if again.passed else again
    return found
