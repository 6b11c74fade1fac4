"""FINN's estimates of its layers beside what Yosys makes of their RTL."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from hw.finn.graph import load_hardware
from hw.finn.rtl import ARCHIVE, FINN_RTL, GRAPH
from hw.finn.rtl.synthesis import Cells, count
from hw.finn.session import finn_failures, finn_session


@dataclass(frozen=True)
class LayerEstimate:
    """A layer.

    Attributes:
        name: as in `finn_rtl.json`.
        kind: FINN's.
        cycles: a frame, by FINN's estimate.
        finn: FINN's estimate, which has no flip-flops.
        yosys: what Yosys counts; null where FINN has HLS only.
    """

    name: str
    kind: str
    cycles: int
    finn: Cells
    yosys: Cells | None


@dataclass(frozen=True)
class Total:
    """Sums over the layers.

    Attributes:
        finn: of FINN's estimates.
        yosys: of Yosys's counts.
        yosys_layers: how many layers Yosys counted.
    """

    finn: Cells
    yosys: Cells
    yosys_layers: int


@dataclass(frozen=True)
class Estimates:
    """All layers for an AMD part.

    Attributes:
        part: AMD's name of the chip.
        interval_cycles: of the slowest layer, by FINN's estimate.
        layers: in order.
        total: of all.
    """

    part: str
    interval_cycles: int
    layers: tuple[LayerEstimate, ...]
    total: Total


def estimates(folder: Path, architecture: str, *, work: Path, log: Path) -> Estimates:
    """Every layer of what `generate` left in `folder`, and sums.

    `work` is a new folder. Raises `LoweringError` where FINN fails, `ToolError` where Yosys does.
    """
    rtl = FINN_RTL.load(folder)
    finn = _finn(folder / GRAPH, rtl.part, log)
    written = [node.name for node in rtl.layers if node.needs is None]  # FIFOs, if nothing else
    yosys = count(folder / ARCHIVE, written, architecture, work=work, log=log)
    layers = tuple(
        LayerEstimate(node.name, node.kind, node.cycles, finn[node.name], yosys.get(node.name))
        for node in rtl.layers
    )
    sums = replace(_sum([layer.finn for layer in layers]), flip_flops=None), _sum([*yosys.values()])
    total = Total(*sums, len(written))
    return Estimates(rtl.part, rtl.estimate.interval_cycles, layers, total)


def _finn(graph: Path, part: str, log: Path) -> dict[str, Cells]:
    """FINN's own `res_estimation`."""
    from finn.analysis.fpgadataflow.res_estimation import res_estimation

    with finn_session(log), finn_failures("FINN failed to estimate layers", log):
        found = res_estimation(load_hardware(graph), part)
    names = ("LUT", "BRAM_18K", "URAM", "DSP")
    return {node: Cells(*(round(each[name]) for name in names)) for node, each in found.items()}


def _sum(rows: Sequence[Cells]) -> Cells:
    columns = zip(*map(astuple, rows), strict=True)
    return Cells(*(sum(each or 0 for each in column) for column in columns))
