"""A board in Python, and a serial line to it on which anything can go wrong, in simulated time."""

import heapq
import itertools
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal

from hw.interface import CoreInterface
from hw.shells import protocol
from hw.shells.protocol import BLOCK_BYTES, TIMEOUT_BITS, Command, Status

BAUD = 1_000_000
BYTE = 10 / BAUD  # seconds
SILENCE = TIMEOUT_BITS / BAUD


class BoardModel:
    """What `hw.shells.link` does, byte for byte; `tests/hw/shells/test_link_faults.py` compares the two.

    `latency` is how many seconds the core takes, `silence` after how many a request is given up.
    """

    def __init__(
        self,
        interface: CoreInterface,
        design: bytes,
        core: Callable[[bytes], bytes],
        *,
        latency: float = 1e-4,
        silence: float = SILENCE,
    ) -> None:
        self.latency = latency
        self.inferred = 0
        self._interface, self._design, self._core = interface, design, core
        self._silence = silence
        self._state: Literal["idle", "receive", "drain", "compute"] = "idle"
        self._request = bytearray()
        self._sequence = 0
        self._status = Status.OK
        self._heard = self._done = self._sent = 0.0
        self._weights = bytearray()

    @property
    def _command(self) -> int:
        return self._request[2] if len(self._request) > 2 else 0

    @property
    def _whole(self) -> bool:
        size = 0 if self._interface.weights is None else self._interface.weights.size
        return len(self._weights) >= size

    @property
    def _loaded(self) -> bool:
        wanted = self._interface.weights
        return wanted is None or (self._whole and zlib.crc32(self._weights[: wanted.size]) == wanted.crc32)

    def hear(self, byte: int, now: float) -> None:
        """A byte comes from the host."""
        if now < self._sent:
            return  # the board sends, and does not listen
        self._heard = now
        if self._state in ("idle", "compute"):
            self._state = "receive" if byte == protocol.REQUEST_SYNC else "idle"
            self._request = bytearray([byte])
        elif self._state == "receive":
            self._request.append(byte)
            self._receive(byte, len(self._request) - 1, now)

    def _receive(self, byte: int, index: int, now: float) -> None:
        length = self._payload_bytes.to_bytes(2, "little")
        if index == 1:
            self._sequence = byte
        elif index == 2:
            known = {Command.IDENTIFY, Command.INFER}
            if byte not in known and not (byte == Command.LOAD and self._interface.weights):
                self._fail(Status.BAD_COMMAND)
            elif byte == Command.INFER and not self._loaded:
                self._fail(Status.NOT_LOADED)
        elif index < protocol.HEADER_BYTES:
            if byte != length[index - 3]:
                self._fail(Status.BAD_LENGTH)
        elif index < protocol.HEADER_BYTES + self._payload_bytes:
            if self._command == Command.LOAD:
                self._load(byte, index - protocol.HEADER_BYTES)
        elif index == protocol.HEADER_BYTES + self._payload_bytes + protocol.CRC_BYTES - 1:
            self._finish(now)

    @property
    def _payload_bytes(self) -> int:
        frame = self._interface.input.frame_bytes
        return (
            {Command.INFER: frame, Command.LOAD: 1 + BLOCK_BYTES}.get(Command(self._command), 0)
            if (self._command in set(Command))
            else 0
        )

    def _load(self, byte: int, index: int) -> None:
        if index:
            self._weights.append(byte)
        elif byte == 0:
            self._weights.clear()
        elif byte != len(self._weights) // BLOCK_BYTES or self._whole:
            self._fail(Status.BAD_BLOCK)

    def _fail(self, status: Status) -> None:
        self._status, self._state = status, "drain"
        if self._command == Command.LOAD:
            self._weights.clear()

    def _finish(self, now: float) -> None:
        body, crc = self._request[1:-4], self._request[-4:]
        if zlib.crc32(body) != int.from_bytes(crc, "little"):
            self._fail(Status.BAD_CRC)
            return
        self._state, self._status = "compute", Status.OK
        self._done = now + (self.latency if self._command == Command.INFER else 0)

    @property
    def wakes(self) -> float:
        """When the board does something unless a byte comes."""
        if self._state == "compute":
            return self._done
        return inf if self._state == "idle" else self._heard + self._silence

    def wake(self, now: float) -> bytes:
        """What it begins to send then."""
        if self._state == "receive":
            self._fail(Status.TIMEOUT)
        self._state = "idle"
        request = bytes([protocol.REQUEST_SYNC, self._sequence])
        payload = b""
        if self._status is Status.OK:
            request = bytes(self._request)
            payload = self._answer(request[protocol.HEADER_BYTES : -protocol.CRC_BYTES])
        reply = protocol.encode_reply(request, self._status, payload)
        self._sent = now + len(reply) * BYTE
        return reply

    def _answer(self, payload: bytes) -> bytes:
        if self._command == Command.INFER:
            self.inferred += 1
            return self._core(payload)
        return protocol.encode_identity(self._design) if self._command == Command.IDENTIFY else b""


@dataclass(frozen=True)
class Fault:
    """What befalls the byte at `place` of a direction.

    `drop` it; `flip` the bits of `amount`; send it `twice`; `delay` it by `seconds`, so that others overtake
    it; `stall` it and all behind it, as a busy adapter does; or have the last `amount` bytes come once more
    after `seconds`, an `echo`.
    """

    place: int
    kind: Literal["drop", "flip", "twice", "delay", "stall", "echo"]
    amount: int = 1
    seconds: float = 0.0


class _Direction:
    """One way of the line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults: dict[int, list[Fault]] = defaultdict(list)
        for fault in faults:
            self._faults[fault.place].append(fault)
        self._passed = bytearray()
        self._free = self._stalled = 0.0

    def send(self, data: bytes, now: float) -> list[tuple[float, int]]:
        """When which bytes arrive."""
        arrivals: list[tuple[float, int]] = []
        for byte in data:
            self._free = max(now, self._free) + BYTE
            arrivals += self._one(byte, self._free)
        return arrivals

    def _one(self, byte: int, now: float) -> list[tuple[float, int]]:
        faults = self._faults.get(len(self._passed), [])
        self._passed.append(byte)
        extra: list[tuple[float, int]] = []
        copies, late = 1, 0.0
        for fault in faults:
            if fault.kind == "drop":
                copies = 0
            elif fault.kind == "flip":
                byte ^= fault.amount
            elif fault.kind == "twice":
                copies += 1
            elif fault.kind == "delay":
                late += fault.seconds
            elif fault.kind == "stall":
                self._stalled = max(self._stalled, now + fault.seconds)
            else:
                again = self._passed[-fault.amount :]
                extra += [(now + fault.seconds + at * BYTE, each) for at, each in enumerate(again)]
        at = max(now, self._stalled) + late
        return [*((at, byte) for _ in range(copies)), *extra]


class ModelPort:
    """Stands for pyserial's `Serial`: the host's side of the line to a board."""

    def __init__(
        self, board: BoardModel, to_board: Iterable[Fault] = (), to_host: Iterable[Fault] = ()
    ) -> None:
        self.board = board
        self.baudrate = BAUD
        self.timeout = 0.0
        self.now = 0.0
        self._out, self._back = _Direction(to_board), _Direction(to_host)
        self._events: list[tuple[float, int, bool, int]] = []
        self._order = itertools.count()
        self._inbox = bytearray()

    def open(self, port: str, baud: int, *, timeout: float, **_: object) -> "ModelPort":
        """In place of the class's constructor."""
        self.timeout = timeout
        return self

    def close(self) -> None:
        """Nothing to do."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""
        return len(self._inbox)

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self._inbox.clear()

    def write(self, data: bytes) -> None:
        """Put bytes on their way."""
        self._schedule(self._out.send(data, self.now), to_board=True)

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer once the time-out is over."""
        self.run(self.now + self.timeout, size)
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken

    def _schedule(self, arrivals: list[tuple[float, int]], *, to_board: bool) -> None:
        for at, byte in arrivals:
            heapq.heappush(self._events, (at, next(self._order), to_board, byte))

    def run(self, until: float, size: float = inf) -> None:
        """Let time pass, until so many bytes are there."""
        while len(self._inbox) < size:
            arrives = self._events[0][0] if self._events else inf
            if min(arrives, self.board.wakes) > until:
                self.now = until
                return
            if arrives <= self.board.wakes:
                self.now, _, to_board, byte = heapq.heappop(self._events)
                if to_board:
                    self.board.hear(byte, self.now)
                else:
                    self._inbox.append(byte)
            else:
                self.now = self.board.wakes
                self._schedule(self._back.send(self.board.wake(self.now), self.now), to_board=False)
