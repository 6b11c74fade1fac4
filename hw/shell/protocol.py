"""The wire format between host and board, shared by the host driver and the gateware.

Request: SYNC, command, length (2 bytes, low first), payload, CRC (2 bytes, low first).
Reply:   SYNC, status, length, payload, CRC, alike.

The CRC is CRC-16/CCITT-FALSE (polynomial 0x1021, initial value 0xFFFF; "CRC-16/IBM-3740" in Greg Cook's
catalogue) over everything between SYNC and CRC. A request is answered by one reply. One with a fault is
answered by its status and no payload, once the line has been silent for the board's time-out, so that the
rest of it is not taken for another request; one whose SYNC was lost is not answered.

A core whose weights are in RAM without contents is loaded first: `weights.bin`, filled up with zeros, in
blocks, in their order. Block 0 begins anew, as a request to LOAD that fails makes necessary. The board infers
once all blocks are there and their CRC-32 is the one that it was built with.
"""

import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum

from pipeline.errors import FrameError

PROTOCOL_VERSION = 1
REQUEST_SYNC = 0xA5
REPLY_SYNC = 0x5A
HEADER_BYTES = 4
CRC_BYTES = 2
MAX_PAYLOAD = 0xFFFF
BLOCK_BYTES = 1024
MAX_BLOCKS = 256
IDENTITY_BYTES = 8


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


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE of `data`."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode_request(command: int, payload: bytes = b"") -> bytes:
    """A request, ready to send; raises `FrameError` where the payload is too long for the format."""
    return _encode(REQUEST_SYNC, command, payload)


def encode_reply(status: int, payload: bytes = b"") -> bytes:
    """A reply, as the board sends it."""
    return _encode(REPLY_SYNC, status, payload)


def decode_request(frame: bytes) -> tuple[Command, bytes]:
    """Command and payload of a whole request; raises `FrameError` where it is damaged."""
    code, payload = _decode(REQUEST_SYNC, frame)
    if code not in set(Command):
        raise FrameError(f"request with unknown command {code}; the protocol has {list(map(int, Command))}")
    return Command(code), payload


def decode_reply(frame: bytes) -> tuple[Status, bytes]:
    """Status and payload of a whole reply; raises `FrameError` where it is damaged."""
    code, payload = _decode(REPLY_SYNC, frame)
    if code not in set(Status):
        raise FrameError(f"reply with unknown status {code}: flash the board again")
    return Status(code), payload


def design_identity(core: bytes) -> bytes:
    """What a board holding the core of this Verilog says of itself: the first bytes of its SHA-256."""
    return hashlib.sha256(core).digest()[:IDENTITY_BYTES]


def encode_identity(design: bytes) -> bytes:
    """The payload of a reply to IDENTIFY: this protocol's version, first bytes of a design's digest."""
    return bytes([PROTOCOL_VERSION]) + design[:IDENTITY_BYTES].ljust(IDENTITY_BYTES, b"\0")


def decode_identity(payload: bytes) -> Identity:
    """The payload of a reply to IDENTIFY; raises `FrameError` where its length is wrong."""
    if len(payload) != 1 + IDENTITY_BYTES:
        raise FrameError(f"identity of {len(payload)} bytes: flash the board again")
    return Identity(payload[0], payload[1:])


def weight_blocks(weights: bytes) -> list[bytes]:
    """The payloads of the requests that load the contents of `weights.bin`, in their order."""
    blocks = [weights[at : at + BLOCK_BYTES] for at in range(0, len(weights), BLOCK_BYTES)]
    return [bytes([number]) + block.ljust(BLOCK_BYTES, b"\0") for number, block in enumerate(blocks)]


def rest_of_frame(header: bytes) -> int:
    """Bytes that follow a header of `HEADER_BYTES`: payload and CRC."""
    return int.from_bytes(header[2:4], "little") + CRC_BYTES


def _encode(sync: int, code: int, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"payload of {len(payload)} bytes, the link takes {MAX_PAYLOAD}")
    body = bytes([code]) + len(payload).to_bytes(2, "little") + payload
    return bytes([sync]) + body + crc16(body).to_bytes(CRC_BYTES, "little")


def _decode(sync: int, frame: bytes) -> tuple[int, bytes]:
    if len(frame) < HEADER_BYTES + CRC_BYTES or frame[0] != sync:
        raise FrameError(f"no frame: {frame[:8].hex(' ') or 'nothing'}; check baud rate and cable")
    if len(frame) != HEADER_BYTES + rest_of_frame(frame):
        raise FrameError(f"frame of {len(frame)} bytes, broken off or of damaged length; check the cable")
    body, crc = frame[1:-CRC_BYTES], frame[-CRC_BYTES:]
    if crc16(body) != int.from_bytes(crc, "little"):
        raise FrameError(f"frame with CRC {crc[::-1].hex()}, expected {crc16(body):04x}; check the cable")
    return body[0], body[3:]
