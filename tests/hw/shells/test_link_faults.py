"""Whatever befalls the bytes between host and board, an output is the right one or there is a `LinkError`."""

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import FrameError, LinkError, SilentBoardError
from hw.host import host
from hw.host.host import Link
from hw.interface import CoreInterface, StreamFormat, WeightsFormat
from hw.shells import protocol
from hw.shells.bytes import BYTE_CYCLES
from hw.shells.protocol import REQUEST_SYNC, Command
from tests.hw.board_model import BAUD, BYTE, BoardModel, Fault, ModelPort
from tests.hw.shells.test_shell import NARROW, TIMEOUT, Rig

INTERFACE = CoreInterface(StreamFormat((12,), "uint8", 1), StreamFormat((2,), "int32", 1))
WEIGHTS = np.random.default_rng(4).bytes(2600)
LOADED = CoreInterface(INTERFACE.input, INTERFACE.output, WeightsFormat((1300,), zlib.crc32(WEIGHTS)))
DESIGN = bytes(range(0x40, 0x60))
HOST_TIMEOUT = 2.0
REPLY_BYTES = protocol.HEADER_BYTES + INTERFACE.output.frame_bytes + protocol.CRC_BYTES

seconds = st.sampled_from([BYTE, 3 * BYTE, 1e-3, 0.07, 0.2, 1.99, 2.0, 2.05, 4.3])


@st.composite
def faults(draw: st.DrawFn, most: int) -> list[Fault]:
    kinds = st.sampled_from(["drop", "flip", "twice", "delay", "stall", "echo"])
    return [
        Fault(draw(st.integers(0, most)), draw(kinds), draw(st.integers(1, 255)), draw(seconds))
        for _ in range(draw(st.integers(0, 12)))
    ]


def core(frame: bytes) -> bytes:
    """An output that tells all of its frame."""
    return zlib.crc32(frame).to_bytes(4, "little") + zlib.crc32(frame[::-1]).to_bytes(4, "little")


def expected(frames: NDArray[np.uint8]) -> NDArray[Any]:
    return INTERFACE.output.from_bytes(b"".join(core(frame.tobytes()) for frame in frames))


def some_frames(count: int) -> NDArray[np.uint8]:
    """Frames that hold bytes of the protocol, too."""
    rng = np.random.default_rng(11)
    frames = rng.integers(0, 256, (count, 12)).astype(np.uint8)
    frames[::3, :4] = REQUEST_SYNC, 2, Command.INFER, 12
    return frames


@contextlib.contextmanager
def linked(port: ModelPort, retries: int = 2) -> Iterator[Link]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.serial, "Serial", port.open)
        with Link("model", BAUD, timeout=HOST_TIMEOUT, retries=retries) as link:
            yield link


def right_or_refused(link: Link, frames: NDArray[np.uint8], interface: CoreInterface, weights: bytes) -> int:
    """Infer frame by frame; how many of them there was an output for."""
    answered = 0
    for frame in frames:
        try:
            output = link.infer(frame[None], interface, weights=weights)
        except LinkError:
            continue
        np.testing.assert_array_equal(output, expected(frame[None]))
        answered += 1
    return answered


@settings(max_examples=200, deadline=None, derandomize=True)
@given(faults(300), faults(250), st.sampled_from([1e-4, 1.9999, 2.5]), st.integers(0, 255))
def test_right_or_refused(to_board: list[Fault], to_host: list[Fault], latency: float, sequence: int) -> None:
    port = ModelPort(BoardModel(INTERFACE, DESIGN, core, latency=latency), to_board, to_host)
    frames = some_frames(6)
    with linked(port) as link:
        link._sequence = sequence
        with contextlib.suppress(LinkError):
            link.expect(DESIGN)
        right_or_refused(link, frames, INTERFACE, b"")
        port.board.latency = 1e-4
        port.run(port.now + 20)  # the last that was late is there
        assert right_or_refused(link, frames, INTERFACE, b"") >= len(frames) - (len(to_board) + len(to_host))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(faults(4000), faults(150))
def test_loading_right_or_refused(to_board: list[Fault], to_host: list[Fault]) -> None:
    port = ModelPort(BoardModel(LOADED, DESIGN, core), to_board, to_host)
    frames = some_frames(4)
    with linked(port) as link:
        right_or_refused(link, frames, LOADED, WEIGHTS)
        port.run(port.now + 20)
        link._retries = 4 * (len(to_board) + len(to_host))  # a reply may come three time-outs late
        assert right_or_refused(link, frames, LOADED, WEIGHTS) == len(frames)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(0, 3))
def test_noise_is_no_reply(noise: list[bytes], at: int) -> None:
    """A line that carries anything, without a board."""
    port = ModelPort(BoardModel(INTERFACE, DESIGN, lambda _: pytest.fail("no request was sent")))
    for burst in noise:
        port._schedule([(at + place * BYTE, byte) for place, byte in enumerate(burst)], to_board=False)
    port.write = lambda data: None  # type: ignore[method-assign]
    with linked(port) as link:
        assert right_or_refused(link, some_frames(2), INTERFACE, b"") == 0


@pytest.mark.parametrize("late", [HOST_TIMEOUT + 1e-3, 2.5, 4.2, 6.5])
@pytest.mark.parametrize("reply", range(4))
def test_one_late_reply_shifts_nothing(late: float, reply: int) -> None:
    port = ModelPort(
        BoardModel(INTERFACE, DESIGN, core), to_host=[Fault(reply * REPLY_BYTES, "stall", seconds=late)]
    )
    frames = some_frames(12)
    with linked(port, retries=4) as link:
        np.testing.assert_array_equal(link.infer(frames, INTERFACE), expected(frames))


def test_reply_of_256_requests_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the sequence number that is waited for, and is not taken."""
    frames = np.random.default_rng(2).integers(0, 256, (300, 12)).astype(np.uint8)
    port = ModelPort(BoardModel(INTERFACE, DESIGN, core))
    replies: list[bytes] = []
    wake = port.board.wake

    def wake_late(now: float) -> bytes:
        replies.append(wake(now))
        return (replies[-257] if len(replies) > 256 else b"") + replies[-1]

    monkeypatch.setattr(port.board, "wake", wake_late)
    with linked(port, retries=0) as link:
        first = right_or_refused(link, frames[:256], INTERFACE, b"")
        second = right_or_refused(link, frames[256:], INTERFACE, b"")
    assert replies[-257][:2] == replies[-1][:2]
    assert (first, second) == (256, 0)  # a reply of this sequence number with another CRC is a damaged one


def test_host_that_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its request is in the board, a reply to it on its way; the next host's numbers are the same."""
    port = ModelPort(BoardModel(INTERFACE, DESIGN, core), to_host=[Fault(0, "stall", seconds=1.0)])
    frames = some_frames(8)
    monkeypatch.setattr(host.secrets, "randbelow", lambda _: 77)
    with linked(port, retries=0) as link, contextlib.suppress(LinkError):
        link.send(protocol.encode_request(78, Command.INFER, frames[0].tobytes()))
        port.run(port.now + 0.1)
        link.send(protocol.encode_request(79, Command.INFER, frames[1].tobytes())[:9])
    with linked(port) as link:
        np.testing.assert_array_equal(link.infer(frames[2:], INTERFACE), expected(frames[2:]))


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ModelPort(BoardModel(INTERFACE, DESIGN, core))
    later = bytes([9]) + DESIGN[:8] + b"and more"
    monkeypatch.setattr("tests.hw.board_model.protocol.encode_identity", lambda _: later)
    with (
        linked(port) as link,
        pytest.raises(LinkError, match=r"^model: the board speaks protocol 9, not 2: flash"),
    ):
        link.identify()


class FirstBoard:
    """A board of the protocol without sequence numbers, which knows IDENTIFY and refuses all else."""

    wakes = float("inf")

    def __init__(self) -> None:
        self._got = bytearray()

    def hear(self, byte: int, now: float) -> None:
        """Answers 0.07 s after the last byte."""
        self._got.append(byte)
        self.wakes = now + 0.07

    def wake(self, now: float) -> bytes:
        """Status and identity, or BAD_COMMAND."""
        good = bytes(self._got) == protocol.VERSION_1_IDENTIFY
        self._got.clear()
        self.wakes = float("inf")
        return (
            bytes.fromhex("5a 00 09 00 01") + DESIGN[:8] + b"??"
            if good
            else bytes.fromhex("5a 03 00 00 11 22")
        )


def test_first_version_is_refused() -> None:
    with (
        linked(ModelPort(FirstBoard())) as link,  # type: ignore[arg-type]
        pytest.raises(LinkError, match=r"^model: the board speaks protocol 1, not 2: flash this build"),
    ):
        link.expect(DESIGN)


def test_silent_and_noisy_lines_are_told_apart() -> None:
    deaf = ModelPort(BoardModel(INTERFACE, DESIGN, core), [Fault(n, "drop") for n in range(1000)])
    with linked(deaf) as link, pytest.raises(SilentBoardError, match=r"no answer within 2 s"):
        link.request(Command.INFER, bytes(12))
    noisy = ModelPort(
        BoardModel(INTERFACE, DESIGN, core), to_host=[Fault(n, "flip", 255) for n in range(1000)]
    )
    with (
        linked(noisy) as link,
        pytest.raises(FrameError, match=r"17 bytes and no reply among them, first a5"),
    ):
        link.request(Command.INFER, bytes(12))


def damaged(request: bytes, kind: str, at: int, amount: int) -> bytes:
    at %= len(request)
    byte = request[at]
    now = {
        "drop": b"",
        "twice": bytes([byte, byte]),
        "flip": bytes([byte ^ amount]),
        "swap": request[at + 1 : at + 2] + bytes([byte]),
        "cut": None,
        "insert": bytes([amount, byte]),
    }[kind]
    if now is None:
        return request[: at + 1]
    return request[:at] + now + request[at + (2 if kind == "swap" else 1) :]


@st.composite
def bursts(draw: st.DrawFn) -> bytes:
    request = protocol.encode_request(
        draw(st.integers(0, 255)),
        draw(st.sampled_from([Command.IDENTIFY, Command.INFER, Command.INFER])),
    )
    if request[2] == Command.INFER:
        request = protocol.encode_request(request[1], Command.INFER, draw(st.binary(min_size=6, max_size=6)))
    kinds = st.sampled_from(["drop", "twice", "flip", "swap", "cut", "insert"])
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        request = damaged(request, draw(kinds), draw(st.integers(0, 99)), draw(st.integers(1, 255)))
    return request


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(bursts(), min_size=4, max_size=8))
def test_gateware_replies_as_the_model(script: list[bytes]) -> None:
    """Damaged requests, each with silence behind it, so that it does not matter how long the core takes."""
    rig = Rig(NARROW)
    silence = 2 * TIMEOUT + 300
    rig.play(*(part for burst in script for part in (burst, silence)))
    board = BoardModel(NARROW, b"\x01\x23\x45\x67\x89\xab\xcd\xef", rig.output, silence=TIMEOUT * 1e-6)
    replies, now = [], 0.0
    for burst in script:
        for byte in burst:
            now += BYTE_CYCLES * 1e-6
            board.hear(byte, now)
        now += silence * 1e-6
        if board.wakes < now:
            replies.append(board.wake(board.wakes))
    assert rig.raw == replies
