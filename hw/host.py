"""The host's end of the link: finds out what a board holds, loads weights if it has none, has it infer."""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import serial
from numpy.typing import NDArray

from hw.interface import CoreInterface
from hw.shell import protocol
from hw.shell.protocol import Command, Identity, Status
from pipeline.errors import FrameError, LinkError, PortError, SilentBoardError


class Link:
    """A board on a serial port, opened for this process alone.

    `timeout` is how long, in seconds, the board may be silent before and within a reply. A request that gets
    none, or a damaged one, or a bad status, is sent again, `retries` times at most: the board keeps nothing
    between requests but weights that were loaded.
    """

    def __init__(self, port: str, baud: int, *, timeout: float = 2.0, retries: int = 2) -> None:
        """Open the port; raises `PortError` where it is missing or busy."""
        self._name = port
        self._retries = retries
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
        """What the board says of itself; raises `LinkError`."""
        return protocol.decode_identity(self.request(Command.IDENTIFY))

    def expect(self, design: bytes) -> None:
        """Check that the board holds the core of digest `design`; raises `LinkError`."""
        found = self.identify()
        if found.version != protocol.PROTOCOL_VERSION:
            raise LinkError(
                f"{self._name}: the board speaks protocol {found.version}, not {protocol.PROTOCOL_VERSION}: "
                "flash this build"
            )
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
        """Outputs `(n, *output shape)` of `frames` `(n, *input shape)`; `progress` is told how many are done.

        A board that says that its core has no weights yet is given `weights`, what `weights.bin` holds.
        Raises `FrameError` where a frame fails in every attempt or does not fit the interface,
        `SilentBoardError` where no answer comes, `ModelFileError` where the weights are not the core's.
        """
        if interface.weights is not None:
            interface.weights.check(weights)
            self._blocks = protocol.weight_blocks(weights)
        if frames.shape[1:] != interface.input.shape or str(frames.dtype) != interface.input.dtype:
            raise FrameError(
                f"frames are {frames.dtype} {frames.shape[1:]}, the core takes {interface.input.dtype} "
                f"{interface.input.shape}: give it the data of its build"
            )
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
        """The payload of the reply to a request, which is repeated where it fails; raises `LinkError`."""
        request = protocol.encode_request(command, payload)
        for _ in range(self._retries):
            with contextlib.suppress(FrameError, SilentBoardError):
                return self._attempt(request)
        return self._attempt(request)

    def _attempt(self, request: bytes) -> bytes:
        status, payload = self.exchange(request)
        if status is Status.NOT_LOADED and self._blocks:
            for block in self._blocks:
                self._require(self.exchange(protocol.encode_request(Command.LOAD, block))[0], len(block))
            status, payload = self.exchange(request)
        self._require(status, len(request))
        return payload

    def _require(self, status: Status, sent: int) -> None:
        """Raise `FrameError` where the board did not take `sent` bytes."""
        if status is not Status.OK:
            raise FrameError(
                f"{self._name}: the board answered {status.name} to a request of {sent} bytes; "
                "check the cable"
            )

    def exchange(self, raw: bytes) -> tuple[Status, bytes]:
        """Send bytes as they are, once, and read one reply, whatever its status; raises `LinkError`."""
        try:
            self._port.reset_input_buffer()  # what is left of an earlier attempt
            self._port.write(raw)
            frame = self._port.read(protocol.HEADER_BYTES)
            if len(frame) == protocol.HEADER_BYTES:
                frame += self._port.read(protocol.rest_of_frame(frame))
        except serial.SerialTimeoutException as error:
            raise SilentBoardError(f"{self._name}: the port takes no bytes; is the board powered?") from error
        except OSError as error:
            raise PortError(f"{self._name}: {error}; was the board unplugged?") from error
        if not frame:
            raise SilentBoardError(
                f"{self._name}: no answer within {self._port.timeout:g} s; is this the board's port, "
                "and the board flashed?"
            )
        return protocol.decode_reply(frame)
