"""FINN's own RTL of a hardware graph, for an AMD part, made and simulated without AMD's tools.

Of the graph come a description (`FinnRtl`, as JSON: every layer, what it is made with, FINN's estimates), an
archive of Verilog and memory files, and the graph in the variants that are in it, which FINN's builder goes
on from. Layers that FINN has as HLS only are named with what they need; without them there is no whole to
simulate, and the archive holds the other layers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import ModelFileError
from common.jsonfile import JsonFile
from hw.finn.graph import save_hardware
from hw.finn.rtl import fixups, sources
from hw.finn.rtl.nodes import Estimate, Node, estimate, implement, listing, require_row, write_verilog
from hw.finn.rtl.streams import FinnStream, streams_of
from hw.finn.rtl.top import NAME, top
from hw.finn.session import finn_failures, finn_session

ARCHIVE, GRAPH = "finn_rtl.zip", "implemented.onnx"

__all__ = [
    "ARCHIVE",
    "FINN_RTL",
    "GRAPH",
    "Estimate",
    "FinnRtl",
    "FinnStream",
    "Node",
    "generate",
    "without_rtl",
]


@dataclass(frozen=True)
class FinnRtl:
    """FINN's implementation of a graph.

    Attributes:
        finn: the version of FINN.
        part: AMD's name of the chip.
        clock_hz: the board's clock, in Hz.
        input: the stream that it takes.
        output: the stream that it gives.
        estimate: FINN's, of the whole.
        layers: in order.
        changes: what was changed in FINN's files for open tools: pairs of a file and a reason.
    """

    finn: str
    part: str
    clock_hz: float
    input: FinnStream
    output: FinnStream
    estimate: Estimate
    layers: tuple[Node, ...]
    changes: tuple[tuple[str, str], ...]

    @property
    def missing(self) -> str | None:
        """Layers that FINN has no RTL of and what they need; None where the archive is whole."""
        return _missing(self.layers)


FINN_RTL = JsonFile("finn_rtl.json", FinnRtl, ("finn-rtl",), ModelFileError)


def _missing(layers: tuple[Node, ...]) -> str | None:
    names = [f"{node.name} ({node.kind})" for node in layers if node.needs]
    needs = sorted({node.needs for node in layers if node.needs})
    return f"FINN has no RTL of {', '.join(names)}: {', '.join(needs)} makes it" if names else None


def without_rtl(model: Any, *, part: str, log: Path) -> str | None:
    """What `FinnRtl.missing` says of a hardware graph, asked of FINN, which writes nothing.

    Raises `LoweringError` where FINN fails.
    """
    with finn_session(log), finn_failures(f"FINN failed to choose layers for {part}", log):
        return _missing(listing(implement(model, part)))


def generate(model: Any, *, part: str, clock_hz: float, folder: Path, log: Path) -> FinnRtl:
    """Have FINN write its RTL of a hardware graph (`hw.finn.lowering.lower`), into `folder`.

    Raises `LoweringError` where FINN fails, or is not of the version that is known.
    """
    fixups.check_version()
    with finn_session(log) as build, finn_failures(f"FINN failed to write RTL for {part}", log):
        model = implement(model, part)
        written = write_verilog(model, part, clock_hz)
        files, modules = sources.gather(written, build)
        nodes, (taken, given), speed = listing(model), streams_of(model), estimate(model)
    changes = tuple((each.file, each.why) for each in fixups.FIXUPS if each.file in files)
    files = fixups.fixed(files)
    if not any(node.needs for node in nodes):
        require_row(model)
        module_of = {module.name: module for module in modules}
        files |= {f"{NAME}.v": top([module_of[node.name] for node in nodes])}
    sources.pack(files, folder / ARCHIVE)
    save_hardware(model, folder / GRAPH)
    found = FinnRtl(fixups.VERSION, part, clock_hz, taken, given, speed, nodes, changes)
    FINN_RTL.save(folder, found)
    return found
