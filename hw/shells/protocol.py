"""The wire format between host and board, shared by the host driver and the gateware.

Request: SYNC, sequence number, command, length (2 bytes, low first), payload, CRC (4 bytes, low first).
Reply:   SYNC, sequence number, status, length, payload, CRC, in the same layout.

The CRC is that of zlib ("CRC-32/ISO-HDLC" in Greg Cook's catalogue) over everything between SYNC and CRC. The
CRC of a reply with status OK continues that of its request, so that the reply fits this request only, however
late it comes and however often the sequence numbers have wrapped around. A reply depends on its request
only: a late reply to an equal request is right.

Each request gets one reply. A faulty request gets its status and no payload, once the line is silent for
the board's time-out, so that the rest of it does not count as another request. A request whose SYNC was lost
gets none.

From version 2 on, the frame format and IDENTIFY stay the same: a host can always ask for the version.

A core whose weights are in RAM without contents is loaded first: `weights.bin`, padded with zeros, in blocks,
in order. After a LOAD that failed, the host starts again from block 0. The board infers once all blocks are
there and their CRC-32 is the one that it was built with.
"""

import binascii
import hashlib
import zlib
from dataclasses import dataclass
from enum import IntEnum

from common.errors import FrameError

BITS_PER_BYTE = 10
"""On the line: a start bit, the byte, a stop bit."""

PROTOCOL_VERSION = 2
REQUEST_SYNC = 0xA5
REPLY_SYNC = 0x5A
HEADER_BYTES = 5
BITS_PER_BYTE = 10
"""On the line: a start bit, the byte, a stop bit."""
CRC_BYTES = 4
MAX_PAYLOAD = 0xFFFF
SEQUENCES = 256
BLOCK_BYTES = 1024
MAX_BLOCKS = 256
IDENTITY_BYTES = 8
TIMEOUT_BITS = 1 << 16  # 65 ms at 1 Mbaud: more than a host is held up within a frame

_VERSION_1_BODY = bytes([1, 0, 0])
VERSION_1_IDENTIFY = (
    b"\xa5" + _VERSION_1_BODY + binascii.crc_hqx(_VERSION_1_BODY, 0xFFFF).to_bytes(2, "little")
)
"""IDENTIFY of the version before sequence numbers; `VERSION_1_HELLO` is how the reply begins."""
VERSION_1_HELLO = bytes([REPLY_SYNC, 0, 1 + IDENTITY_BYTES, 0, 1])


class Command(IntEnum):
    """What a request asks for."""

    IDENTIFY = 1  # no payload; the reply's is the protocol version (1 byte) and the design's identity
    INFER = 2  # one input frame in the core's byte order; the reply's is one output frame
    LOAD = 3  # number of a block (1 byte) and the block; only where a core has weights to load


class Status(IntEnum):
    """How the board took a request."""

    OK = 0
    BAD_CRC = 1
    BAD_LENGTH = 2
    BAD_COMMAND = 3
    TIMEOUT = 4  # the request broke off
    OVERRUN = 5  # the core had not taken the frame before when this one came
    NOT_LOADED = 6  # the core has no weights yet, or others than it was built for
    BAD_BLOCK = 7  # neither block 0 nor the one that follows


@dataclass(frozen=True)
class Identity:
    """What a board says of itself: protocol version, and first bytes of its core's digest."""

    version: int
    design: bytes


@dataclass(frozen=True)
class Reply:
    """A whole and undamaged reply."""

    status: Status
    payload: bytes = b""


def encode_request(sequence: int, command: int, payload: bytes = b"") -> bytes:
    """A request, ready to send; raises `FrameError` where the payload is too long for the format."""
    return _encode(REQUEST_SYNC, sequence, command, payload, b"")


def encode_reply(request: bytes, status: int, payload: bytes = b"") -> bytes:
    """The reply to a request, as the board sends it."""
    chained = _body(request) if status == Status.OK else b""
    return _encode(REPLY_SYNC, request[1], status, payload, chained)


def decode_request(frame: bytes) -> tuple[int, Command, bytes]:
    """Sequence number, command and payload of a whole request; raises `FrameError` where it is damaged."""
    code, payload = _decode(REQUEST_SYNC, frame, b"")
    if code not in set(Command):
        raise FrameError(f"request with unknown command {code}; the protocol has {list(map(int, Command))}")
    return frame[1], Command(code), payload


def decode_reply(request: bytes, frame: bytes) -> Reply:
    """The whole reply to a request; raises `FrameError` where it is damaged, or the reply to another."""
    if frame[1:2] != request[1:2]:
        raise FrameError(f"no reply to request {request[1]}: {frame[:8].hex(' ') or 'nothing'}")
    chained = _body(request) if frame[2:3] == bytes([Status.OK]) else b""
    code, payload = _decode(REPLY_SYNC, frame, chained)
    if code not in set(Status):
        raise FrameError(f"reply with unknown status {code}: flash the board again")
    return Reply(Status(code), payload)


def find_reply(request: bytes, received: bytes) -> Reply | None:
    """The reply to a request somewhere in what was received, None while it is not whole.

    Skips what is left of other replies. Raises `FrameError` where the reply is whole, but damaged.
    """
    prefix = bytes([REPLY_SYNC, request[1]])
    damaged: FrameError | None = None
    at = received.find(prefix)
    while at >= 0:
        header = received[at : at + HEADER_BYTES]
        end = at + HEADER_BYTES + rest_of_frame(header)
        if len(header) == HEADER_BYTES and end <= len(received):
            try:
                return decode_reply(request, received[at:end])
            except FrameError as error:
                damaged = error
        at = received.find(prefix, at + 1)
    if damaged is not None:
        raise damaged
    return None


def design_identity(core: bytes) -> bytes:
    """What a board holding the core of this Verilog says of itself: the first bytes of its SHA-256."""
    return hashlib.sha256(core).digest()[:IDENTITY_BYTES]


def encode_identity(design: bytes) -> bytes:
    """The payload of a reply to IDENTIFY: this protocol's version, first bytes of a design's digest."""
    return bytes([PROTOCOL_VERSION]) + design[:IDENTITY_BYTES].ljust(IDENTITY_BYTES, b"\0")


def decode_identity(payload: bytes) -> Identity:
    """The payload of a reply to IDENTIFY of any version; raises `FrameError` where it is too short."""
    if len(payload) < 1 + IDENTITY_BYTES:
        raise FrameError(f"identity of {len(payload)} bytes: flash the board again")
    return Identity(payload[0], payload[1 : 1 + IDENTITY_BYTES])


def weight_blocks(weights: bytes) -> list[bytes]:
    """The payloads of the requests that load the contents of `weights.bin`, in their order."""
    blocks = [weights[at : at + BLOCK_BYTES] for at in range(0, len(weights), BLOCK_BYTES)]
    return [bytes([number]) + block.ljust(BLOCK_BYTES, b"\0") for number, block in enumerate(blocks)]


def rest_of_frame(header: bytes) -> int:
    """Bytes that follow a header of `HEADER_BYTES`: payload and CRC."""
    return int.from_bytes(header[3:5], "little") + CRC_BYTES


def _body(frame: bytes) -> bytes:
    """What the CRC of a whole frame is over."""
    return frame[1:-CRC_BYTES]


def _encode(sync: int, sequence: int, code: int, payload: bytes, chained: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"payload of {len(payload)} bytes, the link takes {MAX_PAYLOAD}")
    body = bytes([sequence, code]) + len(payload).to_bytes(2, "little") + payload
    return bytes([sync]) + body + zlib.crc32(chained + body).to_bytes(CRC_BYTES, "little")


def _decode(sync: int, frame: bytes, chained: bytes) -> tuple[int, bytes]:
    if len(frame) < HEADER_BYTES + CRC_BYTES or frame[0] != sync:
        raise FrameError(f"no frame: {frame[:8].hex(' ') or 'nothing'}; check baud rate and cable")
    if len(frame) != HEADER_BYTES + rest_of_frame(frame):
        raise FrameError(f"frame of {len(frame)} bytes, broken off or of damaged length; check the cable")
    body, crc = _body(frame), int.from_bytes(frame[-CRC_BYTES:], "little")
    if zlib.crc32(chained + body) != crc:
        raise FrameError(
            f"frame with CRC {crc:08x}, expected {zlib.crc32(chained + body):08x}; check the cable"
        )
    return body[1], body[4:]
