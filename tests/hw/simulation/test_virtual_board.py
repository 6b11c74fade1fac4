"""The whole chip in Verilator behind a pseudo-terminal, under the host driver, around a small core."""

import os
import signal
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import FrameError, LinkError, PortError, SilentBoardError, ToolError
from hw.boards.boards import find
from hw.host.host import Link
from hw.interface import CoreInterface, StreamFormat
from hw.shells import protocol
from hw.shells.chip import chip_verilog
from hw.shells.protocol import Command, Reply, Status
from hw.simulation import virtual_board
from hw.simulation.netlist import ChipModel
from hw.simulation.virtual_board import VirtualBoard

INTERFACE = CoreInterface(StreamFormat((2, 4), "uint8", 2), StreamFormat((3,), "int16", 1))
DESIGN = bytes(range(0x10, 0x30))
BAUD = 1_000_000
TIMEOUT_BITS = 256

# Sum, first byte and negated sum of a frame, some time after it. Words are taken with pauses. A frame that
# begins with 0xEE is not taken any further; one that begins with 0xDD is never answered.
CORE = """
module core(input clk, input rst, input [15:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
            output reg [15:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready);
  reg [2:0] taken = 0;
  reg [15:0] sum = 0;
  reg [7:0] first = 0;
  reg [8:0] pause = 0;
  reg [1:0] given = 0;
  wire full = taken == 4;
  assign s_axis_tready = !full && pause == 0 && !(taken != 0 && first == 8'hEE);
  assign m_axis_tvalid = full && pause == 0 && first != 8'hDD;
  always @* case (given)
    0: m_axis_tdata = sum;
    1: m_axis_tdata = {8'd0, first};
    default: m_axis_tdata = -sum;
  endcase
  always @(posedge clk) begin
    if (pause != 0) pause <= pause - 1;
    if (s_axis_tvalid && s_axis_tready) begin
      sum <= sum + s_axis_tdata[7:0] + s_axis_tdata[15:8];
      if (taken == 0) first <= s_axis_tdata[7:0];
      taken <= taken + 1;
      pause <= taken == 3 ? 500 : 30;
    end
    if (m_axis_tvalid && m_axis_tready) begin
      pause <= 7;
      given <= given + 1;
    end
    if (rst || m_axis_tvalid && m_axis_tready && given == 2) begin
      taken <= 0; sum <= 0; given <= 0; pause <= 0;
    end
  end
endmodule
"""

PICTURE = CoreInterface(StreamFormat((32, 32, 3), "uint8", 3), StreamFormat((10,), "int32", 1))

# Ten negated sums over a picture's bytes, the i-th of those in the words i, i + 10, ... Words are taken so
# slowly that pictures come in faster over the line.
PICTURE_CORE = """
module core(input clk, input rst, input [23:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
            output [31:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready);
  reg [31:0] sums [0:9];
  reg [10:0] taken = 0;
  reg [3:0] place = 0, given = 0;
  reg [8:0] pause = 0;
  wire full = taken == 1024;
  integer k;
  initial for (k = 0; k < 10; k = k + 1) sums[k] = 0;
  assign s_axis_tready = !full && pause == 0;
  assign m_axis_tvalid = full && pause == 0;
  assign m_axis_tdata = sums[given];
  always @(posedge clk) begin
    if (pause != 0) pause <= pause - 1;
    if (s_axis_tvalid && s_axis_tready) begin
      sums[place] <= sums[place] - s_axis_tdata[7:0] - s_axis_tdata[15:8] - s_axis_tdata[23:16];
      place <= place == 9 ? 0 : place + 1;
      taken <= taken + 1;
      pause <= 400;
    end
    if (m_axis_tvalid && m_axis_tready) given <= given + 1;
    if (rst || m_axis_tvalid && m_axis_tready && given == 9) begin
      taken <= 0; place <= 0; given <= 0; pause <= 0;
      for (k = 0; k < 10; k = k + 1) sums[k] <= 0;
    end
  end
endmodule
"""

pytestmark = pytest.mark.slow


def expected(frames: NDArray[np.uint8]) -> NDArray[np.int16]:
    sums = frames.reshape(len(frames), -1).astype(np.int16).sum(1, dtype=np.int16)
    return np.stack([sums, frames[:, 0, 0].astype(np.int16), -sums], 1)


def some_frames(count: int) -> NDArray[np.uint8]:
    frames = np.random.default_rng(5).integers(0, 256, (count, 2, 4)).astype(np.uint8)
    frames[:, 0, 0] %= 0xD0
    return frames


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("board")
    board = find("icebreaker")
    chip = chip_verilog(
        INTERFACE, DESIGN, work, clocks_per_bit=board.clocks_per_bit, timeout_bits=TIMEOUT_BITS
    )
    (work / "all.v").write_text(chip + CORE)
    return virtual_board.build(
        ChipModel((work / "all.v",), "chip"), work=work / "verilator", log=work / "log", clocks_per_bit=12
    )


@pytest.fixture
def board(executable: Path, tmp_path: Path) -> Iterator[VirtualBoard]:
    # Little patience: these tests break requests off. A request fits one write, so that none is slow.
    with VirtualBoard(executable, tmp_path / "log", patience=0.05, timeout_bits=TIMEOUT_BITS) as running:
        yield running


@pytest.fixture
def link(board: VirtualBoard) -> Iterator[Link]:
    with Link(board.port, BAUD, timeout=30, retries=0) as opened:
        yield opened


def test_infers(link: Link) -> None:
    frames = some_frames(50)
    done: list[int] = []
    outputs = link.infer(frames, INTERFACE, done.append)
    assert outputs.dtype == np.int16
    np.testing.assert_array_equal(outputs, expected(frames))
    assert done == list(range(1, 51))


def test_pictures(tmp_path: Path) -> None:
    """Frames of 3072 bytes, ten logits of int32; a core that takes a word in more cycles than the line."""
    chip = chip_verilog(PICTURE, DESIGN, tmp_path, clocks_per_bit=12)
    (tmp_path / "all.v").write_text(chip + PICTURE_CORE)
    executable = virtual_board.build(
        ChipModel((tmp_path / "all.v",), "chip"),
        work=tmp_path / "verilator",
        log=tmp_path / "log",
        clocks_per_bit=12,
    )
    frames = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    words = np.pad(frames.reshape(3, 1024, 3).astype(np.int32).sum(2), ((0, 0), (0, 6)))
    with (
        VirtualBoard(executable, tmp_path / "log") as running,
        Link(running.port, BAUD, timeout=60, retries=0) as opened,
    ):
        outputs = opened.infer(frames, PICTURE)
    assert outputs.dtype == np.int32
    np.testing.assert_array_equal(outputs, -words.reshape(3, 103, 10).sum(1))


def test_identity(link: Link) -> None:
    identity = link.identify()
    assert (identity.version, identity.design) == (protocol.PROTOCOL_VERSION, DESIGN[:8])
    link.expect(DESIGN)
    with pytest.raises(LinkError, match=r"holds design 1011121314151617, not 6f74686572.*: flash this build"):
        link.expect(b"other")


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (protocol.encode_request(7, Command.INFER, bytes(8))[:-1] + b"\0", Status.BAD_CRC),
        (protocol.encode_request(7, Command.INFER, bytes(7)), Status.BAD_LENGTH),
        (protocol.encode_request(7, 9, bytes(8)), Status.BAD_COMMAND),
        (protocol.encode_request(7, Command.INFER, bytes(8))[:7], Status.TIMEOUT),
    ],
    ids=lambda value: value.name if isinstance(value, Status) else "",
)
def test_refuses_and_recovers(link: Link, bad: bytes, status: Status) -> None:
    frames = some_frames(2)
    assert link.exchange(bad) == Reply(status)
    np.testing.assert_array_equal(link.infer(frames, INTERFACE), expected(frames))


def test_refusal_is_a_frame_error(link: Link) -> None:
    with pytest.raises(FrameError, match="the board answered BAD_LENGTH to a request with 7 bytes"):
        link.request(Command.INFER, bytes(7))


def test_patient_board_waits_for_a_slow_host(executable: Path, tmp_path: Path) -> None:
    request = protocol.encode_request(7, Command.INFER, some_frames(1).tobytes())
    with (
        VirtualBoard(executable, tmp_path / "log", patience=60, timeout_bits=TIMEOUT_BITS) as board,
        Link(board.port, BAUD, timeout=0.3) as link,
    ):
        link.send(request[:6])
        with pytest.raises(SilentBoardError):
            link.receive(request)  # far more bit times than the time-out, were time not to stand still
        link.send(request[6:])
        reply = link.receive(request)
    assert reply.status is Status.OK
    np.testing.assert_array_equal(INTERFACE.output.from_bytes(reply.payload), expected(some_frames(1)))


@pytest.mark.parametrize("first", [0xDD, 0xEE])
def test_core_that_never_answers(board: VirtualBoard, first: int) -> None:
    frames = some_frames(3)
    stuck = frames.copy()
    stuck[1, 0, 0] = first
    silent = pytest.raises(SilentBoardError, match=r"no answer within 0\.5 s")
    with Link(board.port, BAUD, timeout=0.5, retries=1) as link, silent:
        link.infer(stuck, INTERFACE)
    with Link(board.port, BAUD, timeout=30) as link:
        np.testing.assert_array_equal(link.infer(frames, INTERFACE), expected(frames))


def test_damaged_replies_are_asked_for_again(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = iter([FrameError("damaged"), FrameError("damaged"), None])
    real = Link.exchange

    def flaky(self: Link, raw: bytes) -> Reply:
        result = real(self, raw)
        if error := next(attempts):
            raise error
        return result

    monkeypatch.setattr(Link, "exchange", flaky)
    monkeypatch.setattr(link, "_retries", 2)
    np.testing.assert_array_equal(link.infer(some_frames(1), INTERFACE), expected(some_frames(1)))


class FlakyPort:
    """A serial port that now and then damages what passes, or keeps it until the next request is sent."""

    def __init__(self, port: Any, share: float) -> None:
        self.share = share
        self._port = port
        self._rng = np.random.default_rng(8)
        self._kept = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def write(self, data: bytes) -> None:
        self._port.write(self._damaged(data))

    def read(self, size: int) -> bytes:
        data = self._damaged(self._port.read(size))
        if data and self._rng.random() < self.share:
            self._kept, data = data, b""
            self._port.read(size)  # the time-out goes by
        elif data:
            self._kept, data = b"", self._kept + data
        return data

    def _damaged(self, data: bytes) -> bytes:
        passed: list[int] = []
        for byte in data:
            kind = int(self._rng.integers(4)) if self._rng.random() < self.share else None
            at = max(0, len(passed) - 1) if kind == 3 else len(passed)  # 3: before the one before
            passed[at:at] = {0: [], 1: [byte, byte], 2: [byte ^ 1 << int(self._rng.integers(8))]}.get(
                kind, [byte]
            )
        return bytes(passed)


def test_flaky_line_gives_right_outputs_or_none(board: VirtualBoard) -> None:
    frames = some_frames(60)
    right = refused = 0
    with Link(board.port, BAUD, timeout=0.3, retries=1) as link:
        link._port = flaky = FlakyPort(link._port, 0.01)
        for frame in frames:
            try:
                outputs = link.infer(frame[None], INTERFACE)
            except LinkError:
                refused += 1
                continue
            np.testing.assert_array_equal(outputs, expected(frame[None]))
            right += 1
        flaky.share = 0.0
        link._retries, link._timeout = 3, 30.0
        np.testing.assert_array_equal(link.infer(frames, INTERFACE), expected(frames))
    assert right > 20 and right + refused == 60


def test_wrong_frames(link: Link) -> None:
    with pytest.raises(FrameError, match=r"frames are uint8 \(8,\), the core takes uint8 \(2, 4\)"):
        link.infer(np.zeros((1, 8), np.uint8), INTERFACE)


def test_busy_port(board: VirtualBoard, link: Link) -> None:
    with pytest.raises(PortError, match="is the board plugged in and the port free"):
        Link(board.port, BAUD)


def test_missing_port() -> None:
    with pytest.raises(PortError, match="/dev/no-such-board"):
        Link("/dev/no-such-board", BAUD)


def test_silent_board() -> None:
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        with Link(os.ttyname(slave), BAUD, timeout=0.2, retries=1) as link:
            with pytest.raises(SilentBoardError, match=r"no answer within 0\.2 s"):
                link.identify()
            os.write(master, b"\x5a\x00")
            with pytest.raises(SilentBoardError):
                link.identify()  # what came before the request is no answer to it
    finally:
        os.close(master)
        os.close(slave)


def test_dead_board(executable: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(ToolError, match="virtual board died, exit code -9"),
        VirtualBoard(executable, log) as board,
    ):
        board.check()
        assert board._process is not None
        os.kill(board._process.pid, signal.SIGKILL)
        board._process.wait()
        with Link(board.port, BAUD, timeout=0.2, retries=0) as link:
            link.identify()


def test_stops_cleanly(executable: Path, tmp_path: Path) -> None:
    with VirtualBoard(executable, tmp_path / "log") as board, Link(board.port, BAUD, timeout=30) as link:
        link.expect(DESIGN)
        process = board._process
    assert process is not None and process.returncode == 0


def test_no_simulator(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="does not start"), VirtualBoard(tmp_path / "none", tmp_path / "log"):
        pass
