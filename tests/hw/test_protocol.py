import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.shell import protocol
from hw.shell.protocol import Command, Status
from pipeline.errors import FrameError

payloads = st.binary(max_size=300)


def test_crc_check_value() -> None:
    # Greg Cook's catalogue of parametrised CRC algorithms: CRC-16/IBM-3740, check
    assert protocol.crc16(b"123456789") == 0x29B1


@given(st.sampled_from(list(Command)), payloads)
def test_request_round_trip(command: Command, payload: bytes) -> None:
    assert protocol.decode_request(protocol.encode_request(command, payload)) == (command, payload)


@given(st.sampled_from(list(Status)), payloads)
def test_reply_round_trip(status: Status, payload: bytes) -> None:
    assert protocol.decode_reply(protocol.encode_reply(status, payload)) == (status, payload)


@given(st.sampled_from(list(Status)), payloads, st.data())
def test_flipped_bit_is_noticed(status: Status, payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(protocol.encode_reply(status, payload))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        protocol.decode_reply(bytes(frame))


@given(st.sampled_from(list(Command)), payloads, st.data())
def test_cut_frame_is_noticed(command: Command, payload: bytes, data: st.DataObject) -> None:
    frame = protocol.encode_request(command, payload)
    with pytest.raises(FrameError):
        protocol.decode_request(frame[: data.draw(st.integers(0, len(frame) - 1))])


def test_unknown_codes() -> None:
    with pytest.raises(FrameError, match="unknown command 9"):
        protocol.decode_request(protocol.encode_request(9))
    with pytest.raises(FrameError, match="unknown status 9"):
        protocol.decode_reply(protocol.encode_reply(9))


def test_too_long_payload() -> None:
    with pytest.raises(FrameError, match="65536 bytes"):
        protocol.encode_request(Command.INFER, bytes(65536))


@pytest.mark.parametrize("design", [b"", b"abc", b"0123456789abcdef"])
def test_identity(design: bytes) -> None:
    identity = protocol.decode_identity(protocol.encode_identity(design))
    assert identity.version == protocol.PROTOCOL_VERSION
    assert identity.design == design[:8].ljust(8, b"\0")
    with pytest.raises(FrameError):
        protocol.decode_identity(design[:4])
