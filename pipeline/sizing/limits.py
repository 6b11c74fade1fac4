"""The limits of a board and of a build that a student has to keep."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

from hw.boards.boards import find
from hw.boards.budget import Budget
from hw.mapping.cost import Cost, Estimate
from hw.shells.port import PortWidths
from hw.shells.protocol import MAX_PAYLOAD
from hw.shells.throughput import dma_bits, link_cycles, serial_bits, stream_pins
from pipeline.config.build import Build

RESOURCES = ("luts", "flip_flops", "block_rams", "single_port_rams", "ultra_rams", "dsps")
LINK = ("stream_bits", "stream_pins", "baud")
TITLES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "block_rams": "block RAMs",
    "single_port_rams": "single-port RAMs",
    "ultra_rams": "UltraRAMs",
    "dsps": "DSPs",
    "stream_bits": "bits a cycle of a stream",
    "stream_pins": "pins for streams",
    "cycles": "cycles a frame",
    "baud": "baud of the serial link",
    "frame_bytes": "bytes of a frame on the serial link",
}


@dataclass(frozen=True)
class Limit:
    """A limit of the board or of the build: what is needed, what may be taken of what is there.

    `title` names it in messages; a LUT of a chip whose logic cells hold flip-flops too is a logic cell.
    """

    name: str
    need: int
    budget: int
    available: int
    title: str

    @property
    def fits(self) -> bool:
        """Whether it is kept."""
        return self.need <= self.budget

    @property
    def load(self) -> float:
        """Share of the budget that is needed."""
        return self.need / max(self.budget, 1) if self.need else 0.0


def limits_of(
    found: Estimate,
    shell: Cost,
    port: PortWidths | None,
    budget: Budget,
    config: Build,
    target: int | None,
) -> Iterator[Limit]:
    """The limits of a core and its shell."""
    yield from _resources(found.total + shell, budget, config.size.headroom if config.size else 0.0)
    yield from _link_limits(found, port, budget, config, target)
    if target is not None:
        beats = 0 if port is None else link_cycles(find(config.board.name), found.interface, port)
        yield Limit("cycles", max(found.interval, beats), target, target, TITLES["cycles"])


def title_of(name: str, budget: Budget) -> str:
    """What messages call a limit."""
    return "logic cells" if name == "luts" and budget.shared_cells else TITLES[name]


def _resources(total: Cost, budget: Budget, free: float) -> Iterator[Limit]:
    for name in RESOURCES:
        need, available = round(getattr(total, name)), getattr(budget, name)
        if (need or available) and not (name == "flip_flops" and budget.shared_cells):
            yield Limit(name, need, floor(available * (1 - free)), available, title_of(name, budget))


def _link_limits(
    found: Estimate, port: PortWidths | None, budget: Budget, config: Build, target: int | None
) -> Iterator[Limit]:
    """What the link has to carry: `frames_per_second` is the host's, `target_cycles` the core's own pace."""

    def limit(name: str, need: int, budget: int) -> Limit:
        return Limit(name, need, budget, budget, TITLES[name])

    board = find(config.board.name)
    if board.finn_board:
        yield limit("stream_bits", dma_bits(found.interface, target or found.interval), budget.stream_bits)
    elif port is not None:
        yield limit("stream_pins", stream_pins(found.interface, target), budget.stream_bits)
    else:
        largest = max(found.interface.input.frame_bytes, found.interface.output.frame_bytes)
        if largest > MAX_PAYLOAD:
            yield limit("frame_bytes", largest, MAX_PAYLOAD)
        rate = config.size.frames_per_second if config.size else None
        if rate is not None:
            yield limit("baud", ceil(rate * serial_bits(found.interface)), board.baud)
