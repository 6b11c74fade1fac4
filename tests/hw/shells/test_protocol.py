import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameError
from hw.shells import protocol
from hw.shells.protocol import Command, Reply, Status

payloads = st.binary(max_size=300)


sequences = st.integers(0, protocol.SEQUENCES - 1)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    return protocol.encode_request(draw(sequences), draw(st.sampled_from(list(Command))), draw(payloads))


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[bytes, Reply, bytes]:
    """A request, its reply, and the reply's bytes."""
    request, reply = draw(requests()), Reply(draw(st.sampled_from(list(Status))), draw(payloads))
    return request, reply, protocol.encode_reply(request, reply.status, reply.payload)


def test_crc_check_value() -> None:
    # Greg Cook's catalogue of parametrised CRC algorithms: CRC-32/ISO-HDLC, check. It is over "123456789".
    frame = protocol.encode_request(ord("1"), ord("2"), bytes(0x3433))
    assert frame[1:5] == b"1234" and zlib.crc32(b"123456789") == 0xCBF43926
    assert frame[-4:] == zlib.crc32(frame[1:-4]).to_bytes(4, "little")


@given(sequences, st.sampled_from(list(Command)), payloads)
def test_request_round_trip(sequence: int, command: Command, payload: bytes) -> None:
    frame = protocol.encode_request(sequence, command, payload)
    assert protocol.decode_request(frame) == (sequence, command, payload)


@given(exchanges())
def test_reply_round_trip(exchange: tuple[bytes, Reply, bytes]) -> None:
    request, reply, frame = exchange
    assert protocol.decode_reply(request, frame) == reply


@given(exchanges(), st.data())
def test_flipped_bit_is_noticed(exchange: tuple[bytes, Reply, bytes], data: st.DataObject) -> None:
    request, _, whole = exchange
    frame = bytearray(whole)
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        protocol.decode_reply(request, bytes(frame))


@given(requests(), requests(), payloads)
def test_reply_fits_its_own_request_only(request_: bytes, other: bytes, payload: bytes) -> None:
    """Even where the sequence numbers are the same, as after 256 requests."""
    other = request_[:2] + other[2:-4]
    other += zlib.crc32(other[1:]).to_bytes(4, "little")
    reply = protocol.encode_reply(other, Status.OK, payload)
    if other == request_:
        assert protocol.decode_reply(request_, reply).payload == payload
    else:
        with pytest.raises(FrameError):
            protocol.decode_reply(request_, reply)


@given(exchanges(), st.binary(max_size=40), st.binary(max_size=40))
def test_reply_is_found_amid_noise(exchange: tuple[bytes, Reply, bytes], before: bytes, after: bytes) -> None:
    request, reply, frame = exchange
    assert protocol.find_reply(request, before + frame + after) == reply
    assert protocol.find_reply(request, frame[:-1]) is None


@given(exchanges(), st.data())
def test_damaged_reply_is_found(exchange: tuple[bytes, Reply, bytes], data: st.DataObject) -> None:
    request, _, frame = exchange
    at = data.draw(st.integers(protocol.HEADER_BYTES, len(frame) - 1))
    damaged = frame[:at] + bytes([frame[at] ^ data.draw(st.integers(1, 255))]) + frame[at + 1 :]
    with pytest.raises(FrameError, match="CRC"):
        protocol.find_reply(request, damaged)


@given(requests(), st.data())
def test_cut_frame_is_noticed(request_: bytes, data: st.DataObject) -> None:
    with pytest.raises(FrameError):
        protocol.decode_request(request_[: data.draw(st.integers(0, len(request_) - 1))])


def test_unknown_codes() -> None:
    request = protocol.encode_request(0, 9)
    with pytest.raises(FrameError, match="unknown command 9"):
        protocol.decode_request(request)
    with pytest.raises(FrameError, match="unknown status 9"):
        protocol.decode_reply(request, protocol.encode_reply(request, 9))


def test_too_long_payload() -> None:
    with pytest.raises(FrameError, match="65536 bytes"):
        protocol.encode_request(0, Command.INFER, bytes(65536))


@pytest.mark.parametrize("design", [b"", b"abc", b"0123456789abcdef"])
def test_identity(design: bytes) -> None:
    identity = protocol.decode_identity(protocol.encode_identity(design))
    assert identity.version == protocol.PROTOCOL_VERSION
    assert identity.design == design[:8].ljust(8, b"\0")
    with pytest.raises(FrameError):
        protocol.decode_identity(design[:4])
