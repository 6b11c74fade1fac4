"""FINN's estimates of its layers beside what Yosys makes of their RTL."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hw.finn.lowering import load_hardware
from hw.finn.lowering.session import finn_failures, finn_session
from hw.finn.rtl import ARCHIVE, GRAPH, FinnRtl
from hw.finn.rtl.synthesis import count


def estimates(folder: Path, architecture: str, *, work: Path, log: Path) -> dict[str, Any]:
    """Every layer of what `generate` left in `folder`, and sums, as JSON.

    A layer's `finn` has no flip-flops, for FINN estimates none; its `yosys` is None where FINN has HLS only.
    `work` is a new folder. Raises `LoweringError` where FINN fails, `ToolError` where Yosys does.
    """
    rtl = FinnRtl.load(folder)
    finn = _finn(folder / GRAPH, rtl.part, log)
    written = [node.name for node in rtl.layers if node.needs is None]  # FIFOs, if nothing else
    yosys = count(folder / ARCHIVE, written, architecture, work=work, log=log)
    layers = [
        {
            "name": node.name,
            "kind": node.kind,
            "cycles": node.cycles,
            "finn": finn[node.name],
            "yosys": asdict(yosys[node.name]) if node.name in yosys else None,
        }
        for node in rtl.layers
    ]
    return {
        "part": rtl.part,
        "interval_cycles": rtl.estimate.interval_cycles,
        "layers": layers,
        "total": {
            "finn": _sum([finn[node.name] for node in rtl.layers]),
            "yosys": _sum([asdict(yosys[name]) for name in written]),
            "yosys_layers": len(written),
        },
    }


def _finn(graph: Path, part: str, log: Path) -> dict[str, dict[str, int]]:
    """FINN's own `res_estimation`."""
    from finn.analysis.fpgadataflow.res_estimation import res_estimation

    with finn_session(log), finn_failures("FINN failed to estimate layers", log):
        found = res_estimation(load_hardware(graph), part)
    names = {"luts": "LUT", "block_rams_18k": "BRAM_18K", "ultra_rams": "URAM", "dsps": "DSP"}
    return {node: {name: round(each[finn]) for name, finn in names.items()} for node, each in found.items()}


def _sum(rows: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in rows[0]}
