"""The rung of AMD boards: FINN's own RTL."""

import os
from typing import Any

import numpy as np

from hw.boards.boards import find
from hw.finn.lowering import load_hardware
from hw.finn.rtl import FINN_RTL, without_rtl
from hw.finn.rtl.simulate import FinnSimulator
from pipeline.ladder.artefacts import Artefacts, Finding, compare, varied
from pipeline.ladder.chip import STALL_PERCENT

STALLED = 256
"""Samples of the second run, whose stalls find what a steady stream does not."""


def finn_rtl(artefacts: Artefacts) -> Finding:
    """FINN's RTL in Verilator against golden: all frames at full rate, and some with random stalls."""
    rtl = FINN_RTL.load(artefacts.folder)
    metrics: dict[str, Any] = {
        "interval_bound_cycles": rtl.estimate.interval_cycles,
        "estimated_latency_cycles": rtl.estimate.latency_cycles,
    }
    if rtl.part != find(artefacts.config.board.name).device:
        return Finding(False, "golden", metrics=metrics, first_mismatch=f"FINN's RTL is for {rtl.part}")
    if rtl.missing:  # which FINN says again, of the graph that was compared with golden
        hardware = load_hardware(artefacts.folder / "hardware.onnx")
        missing = without_rtl(hardware, part=rtl.part, log=artefacts.log)
        if missing != rtl.missing:
            text = f"{FINN_RTL.name}: {rtl.missing}; FINN says: {missing or 'it has RTL of all layers'}"
            return Finding(False, "golden", metrics=metrics, first_mismatch=text)
        return Finding(None, "golden", metrics=metrics, skipped=missing)
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
