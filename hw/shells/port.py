"""The parallel port of a board: how wide its streams are, and which pin carries what."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from common.errors import CapacityError
from hw.boards.board import CONTROL_PINS, Board, BoardPin
from hw.interface import CoreInterface, StreamFormat

Shell = Literal["uart", "parallel"]
"""Frames over a serial link, or the core's streams on pins."""

INPUTS = ("in_data", "in_valid", "out_ready", "reset_n")


@dataclass(frozen=True)
class PortWidths:
    """Data pins of each stream, and how many beats a word of the core takes on them, low bits first."""

    in_bits: int
    out_bits: int
    in_beats: int
    out_beats: int


@dataclass(frozen=True)
class PortPin:
    """A signal of the port, one bit, and where it is on the board."""

    signal: str
    direction: Literal["in", "out"]
    pin: BoardPin


def parallel_port(board: Board, interface: CoreInterface) -> PortWidths:
    """The widths that move a frame in the fewest cycles on the board's free pins; they divide the words.

    The slower stream decides, then their sum. Raises `CapacityError` where one bit each way does not fit.
    """
    pins = board.budget.stream_bits
    if pins < 2:
        raise CapacityError(
            f"the parallel port needs {len(CONTROL_PINS) + 2} pins or more, {board.name} has"
            f" {board.budget.io_pins} free on connectors; take shell 'uart' or another board"
        )
    pairs = (
        (i, o)
        for i in _divisors(interface.input.word_bits)
        for o in _divisors(interface.output.word_bits)
        if i + o <= pins
    )
    i, o = min(pairs, key=lambda pair: _frame_beats(interface, *pair))
    return PortWidths(i, o, interface.input.word_bits // i, interface.output.word_bits // o)


def _divisors(number: int) -> Iterable[int]:
    return (each for each in range(1, number + 1) if number % each == 0)


def _frame_beats(interface: CoreInterface, in_bits: int, out_bits: int) -> tuple[int, int]:
    streams = ((interface.input, in_bits), (interface.output, out_bits))
    beats = [stream.words * stream.word_bits // bits for stream, bits in streams]
    return max(beats), sum(beats)


def port_pins(board: Board, port: PortWidths) -> tuple[PortPin, ...]:
    """Every signal's pin: data in, data out, then the rest, along the connectors."""
    signals = [*_bits("in_data", port.in_bits), *_bits("out_data", port.out_bits), *CONTROL_PINS]
    return tuple(
        PortPin(signal, "in" if signal.split("[")[0] in INPUTS else "out", pin)
        for signal, pin in zip(signals, board.user_pins(), strict=False)
    )


def _bits(signal: str, width: int) -> list[str]:
    return [f"{signal}[{bit}]" for bit in range(width)]


def pins_json(board: Board, interface: CoreInterface, shell: Shell) -> str:
    """`pins.json`: what a user wires, and how frames travel over the wires."""
    if shell == "uart":
        streams: dict[str, object] = {"baud": board.baud}
        pins = [asdict(pin) for pin in _serial_pins(board)]
    else:
        port = parallel_port(board, interface)
        streams = {
            "input": _stream(interface.input, port.in_bits, port.in_beats),
            "output": _stream(interface.output, port.out_bits, port.out_beats),
        }
        pins = [asdict(pin) for pin in port_pins(board, port)]
    about = {"board": board.name, "shell": shell, "clock_hz": board.clock_hz, "voltage": 3.3}
    return json.dumps({**about, **streams, "pins": pins}, indent=2) + "\n"


def _stream(stream: StreamFormat, bits: int, beats: int) -> dict[str, int]:
    return {"bits": bits, "beats_per_word": beats, "beats_per_frame": beats * stream.words}


def _serial_pins(board: Board) -> Iterable[PortPin]:
    """The serial link's pins where a user has to wire them; elsewhere the board's USB socket has them."""
    if board.uart_pins is not None:
        by_position = {pin.position: pin for pin in board.user_pins()}
        rx, tx = board.uart_pins
        yield PortPin("rx", "in", by_position[rx])
        yield PortPin("tx", "out", by_position[tx])
