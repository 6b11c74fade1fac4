"""FINN's own RTL of a hardware graph, for an AMD part, made and simulated without AMD's tools.

Of the graph come a description (`FinnRtl`, as JSON: every layer, what it is made with, FINN's estimates) and
an archive of Verilog and memory files. Layers that FINN has as HLS only are named with what they need;
without them there is no whole to simulate, and the archive holds the other layers.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hw.finn_rtl import fixups, sources
from hw.finn_rtl.nodes import Estimate, Node, estimate, implement, listing, write_verilog
from hw.finn_rtl.streams import FinnStream, streams_of
from hw.finn_rtl.top import NAME, top
from hw.lowering.session import finn_session
from pipeline.errors import LoweringError, ModelFileError

__all__ = ["Estimate", "FinnRtl", "FinnStream", "Node", "generate"]


@dataclass(frozen=True)
class FinnRtl:
    """FINN's implementation of a graph: for what, its streams, FINN's estimate, its layers in order.

    `changes` are those made in FINN's files for open tools, each a file and a reason.
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
        names = [f"{node.name} ({node.kind})" for node in self.layers if node.needs]
        needs = sorted({node.needs for node in self.layers if node.needs})
        return f"FINN has no RTL of {', '.join(names)}: {', '.join(needs)} makes it" if names else None

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "FinnRtl":
        """Read what `save` wrote; raises `ModelFileError`."""
        try:
            raw = json.loads(path.read_text())
            return cls(
                raw["finn"],
                raw["part"],
                raw["clock_hz"],
                FinnStream(**raw["input"]),
                FinnStream(**raw["output"]),
                Estimate(**raw["estimate"]),
                tuple(Node(**node) for node in raw["layers"]),
                tuple((file, why) for file, why in raw["changes"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path}: no description of FINN's RTL ({error}); build again") from error


def generate(model: Any, *, part: str, clock_hz: float, archive: Path, log: Path) -> FinnRtl:
    """Have FINN write its RTL of a hardware graph (`hw.lowering.lower`), and pack it into `archive`.

    Raises `LoweringError` where FINN fails, or is not of the version that is known.
    """
    fixups.check_version()
    with finn_session(log) as build:
        try:
            model = implement(model, part)
            written = write_verilog(model, part, clock_hz)
            files, modules = sources.gather(written, build)
            nodes, (taken, given), speed = listing(model), streams_of(model), estimate(model)
        except LoweringError:
            raise
        except Exception as error:
            raise LoweringError(
                f"FINN failed to write RTL for {part} with {error!r:.300}; see {log}"
            ) from error
    changes = tuple((each.file, each.why) for each in fixups.FIXUPS if each.file in files)
    files = fixups.fixed(files)
    if not any(node.needs for node in nodes):
        files |= {f"{NAME}.v": top(modules)}
    sources.pack(files, archive)
    return FinnRtl(fixups.VERSION, part, clock_hz, taken, given, speed, nodes, changes)
