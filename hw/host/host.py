"""The host's end of the serial link: identifies a board, loads weights into it, has it infer."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
import serial
from numpy.typing import NDArray

from common.errors import FrameError, LinkError, PortError, SilentBoardError
from hw.interface import CoreInterface
from hw.shells import protocol
from hw.shells.protocol import Command, Identity, Reply, Status

MOST_BYTES = 2 * (protocol.HEADER_BYTES + protocol.MAX_PAYLOAD + protocol.CRC_BYTES)
"""Bytes read at most for a reply: the longest one behind another."""


class Link:
    """A board on a serial port, opened for this process alone.

    The board may be silent for `timeout` seconds before and within a reply. A request without reply, or with
    a damaged one or a bad status, is sent again up to `retries` times, under another sequence number and once
    the line is silent: between requests the board keeps nothing but its loaded weights.
    """

    def __init__(self, port: str, baud: int, *, timeout: float = 2.0, retries: int = 2) -> None:
        """Open the port; raises `PortError` where it is missing or busy."""
        self._name = port
        self._timeout = timeout
        self._retries = retries
        self._sequence = secrets.randbelow(protocol.SEQUENCES)  # not the one of a killed host before
        self._blocks: list[bytes] = []
        try:
            self._port = serial.Serial(port, baud, timeout=timeout, write_timeout=timeout, exclusive=True)
        except (OSError, ValueError) as error:
            raise PortError(f"{port}: {error}; is the board plugged in and the port free?") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def identify(self) -> Identity:
        """Protocol version and design of the board; raises `LinkError`, also for another protocol."""
        try:
            found = protocol.decode_identity(self.request(Command.IDENTIFY))
        except FrameError:
            if not self._speaks_version_1():
                raise
            found = Identity(1, b"")
        if found.version != protocol.PROTOCOL_VERSION:
            raise LinkError(
                f"{self._name}: the board speaks protocol {found.version}, not {protocol.PROTOCOL_VERSION}: "
                "flash this build"
            )
        return found

    def _speaks_version_1(self) -> bool:
        """Whether the board answers in version 1, whose frames differ."""
        self._drain()
        with self._port_errors():
            self._port.write(protocol.VERSION_1_IDENTIFY)
            return self._port.read(len(protocol.VERSION_1_HELLO)) == protocol.VERSION_1_HELLO

    def expect(self, design: bytes) -> None:
        """Check that the board holds the core of digest `design`; raises `LinkError`."""
        found = self.identify()
        wanted = protocol.decode_identity(protocol.encode_identity(design)).design
        if found.design != wanted:
            raise LinkError(
                f"{self._name}: the board holds design {found.design.hex()}, not {wanted.hex()}: "
                "flash this build"
            )

    def infer(
        self,
        frames: NDArray[np.uint8],
        interface: CoreInterface,
        progress: Callable[[int], None] | None = None,
        *,
        weights: bytes = b"",
    ) -> NDArray[Any]:
        """Outputs `(n, *output shape)` of `frames` `(n, *input shape)`; `progress` gets how many are done.

        A board whose core has no weights yet gets `weights`, the contents of `weights.bin`. Raises
        `FrameError` where a frame fails in every attempt or does not fit the interface, `SilentBoardError`
        without an answer, `ModelFileError` where the weights are not the core's.
        """
        if interface.weights is not None:
            interface.weights.check(weights)
            self._blocks = protocol.weight_blocks(weights)
        interface.input.require(frames)
        outputs = bytearray()
        for done, frame in enumerate(frames, 1):
            reply = self.request(Command.INFER, interface.input.to_bytes(frame))
            if len(reply) != interface.output.frame_bytes:
                raise FrameError(
                    f"{self._name}: output of {len(reply)} bytes, expected {interface.output.frame_bytes}: "
                    "flash this build"
                )
            outputs += reply
            if progress is not None:
                progress(done)
        return interface.output.from_bytes(bytes(outputs))

    def request(self, command: int, payload: bytes = b"") -> bytes:
        """The payload of the reply to a request, repeated where it fails; raises `LinkError`."""
        for _ in range(self._retries):
            with contextlib.suppress(FrameError, SilentBoardError):
                return self._attempt(command, payload)
            self._drain()
        return self._attempt(command, payload)

    def _attempt(self, command: int, payload: bytes) -> bytes:
        reply = self._ask(command, payload)
        if reply.status is Status.NOT_LOADED and self._blocks:
            for block in self._blocks:
                self._require(self._ask(Command.LOAD, block), block)
            reply = self._ask(command, payload)
        return self._require(reply, payload)

    def _require(self, reply: Reply, sent: bytes) -> bytes:
        """The payload of a reply; raises `FrameError` where the board refused what was `sent`."""
        if reply.status is not Status.OK:
            raise FrameError(
                f"{self._name}: the board answered {reply.status.name} to a request with {len(sent)} bytes; "
                "check the cable"
            )
        return reply.payload

    def _ask(self, command: int, payload: bytes) -> Reply:
        self._sequence = (self._sequence + 1) % protocol.SEQUENCES
        return self.exchange(protocol.encode_request(self._sequence, command, payload))

    def exchange(self, request: bytes) -> Reply:
        """Send a raw request once, and wait for its reply of any status; raises `LinkError`."""
        self.send(request)
        return self.receive(request)

    def send(self, raw: bytes) -> None:
        """Send raw bytes, and drop all that has been received; raises `LinkError`."""
        with self._port_errors():
            self._port.reset_input_buffer()
            self._port.write(raw)

    def receive(self, request: bytes) -> Reply:
        """Wait for the reply to a request, and skip others; raises `LinkError`."""
        received = bytearray()
        while len(received) < MOST_BYTES:
            with self._port_errors():
                more = self._port.read(max(1, self._port.in_waiting))
            if not more:
                break
            received += more
            reply = protocol.find_reply(request, bytes(received))
            if reply is not None:
                return reply
        if received:
            raise FrameError(
                f"{self._name}: {len(received)} bytes and no reply among them, first"
                f" {received[:8].hex(' ')}; check baud rate and cable"
            )
        raise SilentBoardError(
            f"{self._name}: no answer within {self._timeout:g} s; is this the board's port, "
            "and the board flashed?"
        )

    def _drain(self) -> None:
        """Wait until the board has dropped an unfinished request and the line is silent.

        After the time-out it returns even if the line is not silent: the next request will fail.
        """
        end = time.monotonic() + self._timeout
        with self._port_errors():
            self._port.timeout = min(self._timeout, 2 * protocol.TIMEOUT_BITS / self._port.baudrate)
            while self._port.read(max(1, self._port.in_waiting)) and time.monotonic() < end:
                pass
            self._port.timeout = self._timeout

    @contextlib.contextmanager
    def _port_errors(self) -> Iterator[None]:
        try:
            yield
        except serial.SerialTimeoutException as error:
            raise SilentBoardError(f"{self._name}: the port takes no bytes; is the board powered?") from error
        except OSError as error:
            raise PortError(f"{self._name}: {error}; was the board unplugged?") from error
