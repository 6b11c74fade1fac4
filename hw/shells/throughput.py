"""Rates of core and link: the slower one limits the frames a second."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from hw.boards.board import CONTROL_PINS, Board
from hw.interface import CoreInterface
from hw.shells.port import PortWidths
from hw.shells.protocol import BITS_PER_BYTE, CRC_BYTES, HEADER_BYTES


def serial_bits(interface: CoreInterface) -> int:
    """Bits on the serial line for a frame: the request and, after it, the reply.

    Delays of the host and its adapter are not counted.
    """
    frames = interface.input.frame_bytes + interface.output.frame_bytes
    return BITS_PER_BYTE * (2 * (HEADER_BYTES + CRC_BYTES) + frames)


@dataclass(frozen=True)
class Pace:
    """Frames a second, at best, and what limits them.

    Attributes:
        link: what carries the frames, as words.
        as_fast: what of the link it would take to be as fast as the core, as words; empty where it is.
    """

    frames_per_second: float
    core_frames_per_second: float
    link_frames_per_second: float
    limited_by: Literal["core", "link"]
    link: str
    as_fast: str

    def __str__(self) -> str:
        """One line: the rate, what limits it, and what would make the link as fast as the core."""
        rate = f"{spoken(self.frames_per_second)} frames/s, limited by the {self.limited_by}"
        if self.limited_by == "core":
            return f"{rate}; the {self.link} carries {spoken(self.link_frames_per_second)}"
        core = f"; the core does {spoken(self.core_frames_per_second)}, which takes {self.as_fast}"
        return f"{rate}, a {self.link}" + (core if self.as_fast else "")


def spoken(rate: float) -> str:
    """A rate as text, rounded down, so that a build that asks for it is possible."""
    return f"{floor(rate):,}" if rate >= 100 else f"{floor(100 * rate) / 100:g}"


def pace(board: Board, interface: CoreInterface, interval: int, port: PortWidths | None = None) -> Pace:
    """The pace of a core that takes a frame every `interval` cycles, on its board's link.

    `port` is that of the parallel shell. Without one the link is serial, or DMA where FINN has a shell.
    """
    cycles = link_cycles(board, interface, port)
    core, link = board.clock_hz / interval, board.clock_hz / cycles
    return Pace(
        frames_per_second=min(core, link),
        core_frames_per_second=core,
        link_frames_per_second=link,
        limited_by="link" if link <= core else "core",
        link=_link(board, port),
        as_fast=link_for(board, interface, interval, port) if link < core else "",
    )


def _link(board: Board, port: PortWidths | None) -> str:
    if board.finn_board:
        return f"DMA of {board.finn_board.stream_bits} bits a cycle"
    if port is not None:
        return f"parallel port of {port.in_bits + port.out_bits} data pins"
    return f"serial link at {board.baud:,} baud"


def link_for(board: Board, interface: CoreInterface, interval: int, port: PortWidths | None = None) -> str:
    """What carries a frame every `interval` cycles, as words: bits of DMA, pins, or else bauds or pins."""
    if board.finn_board:
        return f"DMA of {dma_bits(interface, interval)} bits a cycle"
    pins = stream_pins(interface, interval)
    if port is not None:
        return f"{pins} data pins"
    baud = ceil(serial_bits(interface) * board.clock_hz / interval)
    return f"{baud:,} baud, or shell 'parallel' with {pins + len(CONTROL_PINS)} pins"


def link_cycles(board: Board, interface: CoreInterface, port: PortWidths | None = None) -> int:
    """Cycles of the board's clock that a frame takes on the link, its result included.

    The streams of the parallel shell and of DMA move at the same time: the slower one counts.
    """
    if board.finn_board:
        streams = (interface.input, interface.output)
        return max(ceil(each.words * each.word_bits / board.finn_board.stream_bits) for each in streams)
    if port is not None:
        return max(interface.input.words * port.in_beats, interface.output.words * port.out_beats)
    return serial_bits(interface) * board.clocks_per_bit


def dma_bits(interface: CoreInterface, interval: int) -> int:
    """Bits that DMA has to move in a cycle, one way, for a frame every `interval` cycles."""
    streams = (interface.input, interface.output)
    return max(ceil(stream.words * stream.word_bits / interval) for stream in streams)


def stream_pins(interface: CoreInterface, target: int | None) -> int:
    """The fewest data pins of the parallel shell on which a frame takes no more than `target` cycles."""
    need = 0
    for stream in (interface.input, interface.output):
        beats = 1 if target is None else max(1, target // stream.words)
        widths = (width for width in range(1, stream.word_bits + 1) if stream.word_bits % width == 0)
        need += min(width for width in widths if target is None or stream.word_bits // width <= beats)
    return need
