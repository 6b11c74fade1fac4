"""The rung of boards that FINN builds for: FINN's own RTL."""

import os
from typing import Any

from hw.finn.graph import load_hardware
from hw.finn.rtl import FINN_RTL, without_rtl
from hw.finn.rtl.simulate import FinnSimulator
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.hardware import STALL_PERCENT
from pipeline.ladder.result import RungResult

STALLED = 256
"""Samples of the second run, whose stalls find what a steady stream does not."""


def finn_rtl(artefacts: Artefacts) -> RungResult:
    """FINN's RTL in Verilator against golden: all frames at full rate, and some with random stalls."""
    rtl = FINN_RTL.load(artefacts.folder)
    metrics: dict[str, Any] = {
        "interval_bound_cycles": rtl.estimate.interval_cycles,
        "estimated_latency_cycles": rtl.estimate.latency_cycles,
    }
    if rtl.part != artefacts.board.device:
        return RungResult(False, "golden", metrics=metrics, first_mismatch=f"FINN's RTL is for {rtl.part}")
    if rtl.missing:  # FINN is asked again, about the graph that was compared with golden
        hardware = load_hardware(artefacts.folder / "hardware.onnx")
        missing = without_rtl(hardware, part=rtl.part, log=artefacts.log)
        if missing != rtl.missing:
            text = f"{FINN_RTL.name}: {rtl.missing}; FINN says: {missing or 'it has RTL of all layers'}"
            return RungResult(False, "golden", metrics=metrics, first_mismatch=text)
        return RungResult(None, "golden", metrics=metrics, skipped=missing)
    work, rows = artefacts.scratch("finn-rtl"), artefacts.some(STALLED)
    simulator = FinnSimulator(artefacts.folder, work=work, log=artefacts.log, optimize="-O3")
    free = simulator.run(artefacts.frames, threads=os.cpu_count() or 1)
    stalled = simulator.run(
        artefacts.frames[rows], stall_percent=STALL_PERCENT, seed=artefacts.config.verify.stall_seed
    )
    metrics |= {"interval_cycles": free.interval, "latency_cycles": free.latency}
    metrics |= {"stalled_samples": len(stalled.outputs), "stalled_interval_cycles": stalled.interval}
    found = artefacts.compared(free.outputs, **metrics)
    again = artefacts.compared(stalled.outputs, rows, **metrics)
    return again if found.passed and not again.passed else found
