"""Receiver, transmitter and link in Amaranth's simulator, against the protocol's own encoder."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from common.errors import CapacityError, FrameError
from hw.boards.board import Board
from hw.boards.boards import find
from hw.interface import CoreInterface, StreamFormat
from hw.shells import protocol
from hw.shells.bytes import BYTE_CYCLES, Packer, Unpacker
from hw.shells.chip import build_plan, chip_verilog
from hw.shells.link import Link
from hw.shells.protocol import Command, Reply, Status
from hw.shells.uart import Receiver, Transmitter
from hw.tools import tools
from tests.hw.conftest import OPEN_BOARDS

NARROW = CoreInterface(StreamFormat((6,), "uint8", 1), StreamFormat((2,), "int16", 1))
WIDE = CoreInterface(StreamFormat((6,), "uint8", 3), StreamFormat((3,), "int8", 3))
LONG = CoreInterface(StreamFormat((260,), "uint8", 2), StreamFormat((129,), "int16", 1))
PICTURE = CoreInterface(StreamFormat((32, 32, 3), "uint8", 3), StreamFormat((10,), "int32", 1))
DESIGN = b"\x01\x23\x45\x67\x89\xab\xcd\xef and more"
TIMEOUT = 256


def simulate(elaboratable: Any, *benches: Callable[[Any], Any]) -> None:
    simulator = Simulator(elaboratable)
    simulator.add_clock(1e-6)
    for bench in benches[:-1]:
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(benches[-1])
    simulator.run()


async def until(ctx: Any, condition: Any, *values: Any) -> list[int]:
    """Tick until `condition` held at the edge; the `values` at that edge."""
    while True:
        _, _, done, *sampled = await ctx.tick().sample(condition, *values)
        if done:
            return sampled


class Loop(wiring.Component):
    """A transmitter into a receiver of another clock rate."""

    def __init__(self, sender: int, receiver: int) -> None:
        self.sender, self.receiver = Transmitter(sender), Receiver(receiver)
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.sender, m.submodules.receiver = self.sender, self.receiver
        m.d.comb += self.receiver.line.eq(self.sender.line)
        return m


@pytest.mark.parametrize(("sender", "receiver"), [(12, 12), (4, 4), (25, 25), (48, 50), (50, 48), (25, 26)])
def test_uart_loop(sender: int, receiver: int) -> None:
    loop = Loop(sender, receiver)
    message = bytes([0x00, 0xFF, 0xA5, 0x5A, 0x01, 0x80, 0x7F, 0x00])
    got = bytearray()

    async def listen(ctx: Any) -> None:
        while True:
            got.extend(await until(ctx, loop.receiver.bytes.valid, loop.receiver.bytes.payload))

    async def speak(ctx: Any) -> None:
        for byte in message:
            ctx.set(loop.sender.bytes.payload, byte)
            ctx.set(loop.sender.bytes.valid, 1)
            await until(ctx, loop.sender.bytes.ready)
        ctx.set(loop.sender.bytes.valid, 0)
        await ctx.tick().repeat(12 * max(sender, receiver))

    simulate(loop, listen, speak)
    assert bytes(got) == message


def test_transmitter_keeps_ten_whole_bits() -> None:
    dut = Transmitter(12)
    line: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.bytes.payload, 0x53)
        ctx.set(dut.bytes.valid, 1)
        await until(ctx, dut.bytes.ready)
        while True:
            line.append(ctx.get(dut.line))
            if ctx.get(dut.bytes.ready):
                return
            await ctx.tick()

    simulate(dut, bench)
    bits = [0, *(0x53 >> bit & 1 for bit in range(8)), 1]
    assert line == [bit for bit in bits for _ in range(12)]


def levels(*runs: tuple[int, int]) -> Iterator[int]:
    for level, cycles in runs:
        yield from [level] * cycles


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (levels((0, 3), (1, 200)), []),  # a glitch is no start bit
        (levels((0, 120), (1, 200)), []),  # no stop bit, no byte
        (levels((0, 12), (1, 12 * 9), (0, 12 * 9), (1, 40)), [0xFF, 0x00]),
        (levels((0, 3), (1, 30), (0, 12), (1, 200)), [0xFF]),
    ],
    ids=["glitch", "no stop bit", "back to back", "after a glitch"],
)
def test_receiver_on_bad_lines(line: Iterator[int], expected: list[int]) -> None:
    dut = Receiver(12)
    got: list[int] = []

    async def listen(ctx: Any) -> None:
        while True:
            got.extend(await until(ctx, dut.bytes.valid, dut.bytes.payload))

    async def drive(ctx: Any) -> None:
        for level in line:
            ctx.set(dut.line, level)
            await ctx.tick()

    simulate(dut, listen, drive)
    assert got == expected


class Rig:
    """A link between a host that counts in cycles and a core that adds 1 to every byte of a frame.

    The core takes a word in `pace` cycles; an `eager` one answers without taking any.
    """

    def __init__(
        self, interface: CoreInterface, *, latency: int = 40, pace: int = 1, eager: bool = False
    ) -> None:
        self.interface, self.latency, self.pace, self.eager = interface, latency, pace, eager
        self.link = Link(interface, DESIGN, TIMEOUT)
        self.sent = bytearray()
        self.raw: list[bytes] = []
        self.frames: list[bytes] = []

    def output(self, frame: bytes) -> bytes:
        size = self.interface.output.frame_bytes
        return bytes((byte + 1) % 256 for byte in (frame * size)[:size])

    async def core(self, ctx: Any) -> None:
        source, sink = self.link.to_core, self.link.from_core
        size = self.interface.input.word_bits // 8
        while True:
            words: list[int] = []
            if self.eager:
                await self._give(ctx, sink, bytes(self.interface.output.frame_bytes))
                continue
            while len(words) < self.interface.input.words:
                taken, reset = await self._take(ctx, source)
                words = [] if reset else words + taken
            frame = b"".join(word.to_bytes(size, "little") for word in words)
            self.frames.append(frame)
            await self._give(ctx, sink, self.output(frame))

    async def _take(self, ctx: Any, source: Any) -> tuple[list[int], bool]:
        """A word if there is one, and whether the core was reset meanwhile."""
        reset = False
        for cycle in range(self.pace):
            ctx.set(source.ready, cycle == self.pace - 1)
            _, _, valid, ready, payload, now = await ctx.tick().sample(
                source.valid, source.ready, source.payload, self.link.core_reset
            )
            reset |= bool(now)
        return [payload] if valid and ready else [], reset

    async def _give(self, ctx: Any, sink: Any, output: bytes) -> None:
        ctx.set(self.link.to_core.ready, 0)
        for _ in range(self.latency):
            _, _, reset = await ctx.tick().sample(self.link.core_reset)
            if reset:
                return
        size = self.interface.output.word_bits // 8
        for start in range(0, len(output), size):
            ctx.set(sink.payload, int.from_bytes(output[start : start + size], "little"))
            ctx.set(sink.valid, 1)
            (reset,) = await until(ctx, sink.ready | self.link.core_reset, self.link.core_reset)
            ctx.set(sink.valid, 0)
            if reset:
                return
            await ctx.tick().repeat(3)

    async def listen(self, ctx: Any) -> None:
        cycle = 0
        while True:
            ctx.set(self.link.sent.ready, cycle % 5 == 4)
            cycle += 1
            _, _, valid, ready, byte = await ctx.tick().sample(
                self.link.sent.valid, self.link.sent.ready, self.link.sent.payload
            )
            if valid and ready:
                self.sent.append(byte)
                size = protocol.HEADER_BYTES
                if len(self.sent) >= size and len(self.sent) == size + protocol.rest_of_frame(self.sent):
                    self.raw.append(bytes(self.sent))
                    self.sent.clear()

    def run(self, *script: bytes | int) -> list[Reply]:
        """Send bytes, as close as the CRC takes them, and wait cycles, in turn; the replies to that."""
        self.play(*script)
        requests = [step for step in script if isinstance(step, bytes)]
        return [decode_any(requests, raw) for raw in self.raw]

    def play(self, *script: bytes | int) -> None:
        """Send and wait, in turn; `raw` has the frames that come back."""

        async def host(ctx: Any) -> None:
            for step in script:
                if isinstance(step, int):
                    await ctx.tick().repeat(step)
                    continue
                for byte in step:
                    ctx.set(self.link.received.payload, byte)
                    ctx.set(self.link.received.valid, 1)
                    await ctx.tick()
                    ctx.set(self.link.received.valid, 0)
                    await ctx.tick().repeat(BYTE_CYCLES - 1)

        simulate(self.link, self.core, self.listen, *self.listeners(), host)

    def listeners(self) -> tuple[Callable[[Any], Any], ...]:
        """More that runs beside the link."""
        return ()


def decode_any(requests: Sequence[bytes], raw: bytes) -> Reply:
    """A reply to one of the requests."""
    for request in requests:
        with contextlib.suppress(FrameError):
            return protocol.decode_reply(request, raw)
    raise AssertionError(f"{raw.hex(' ')} is a reply to none of {len(requests)} requests")


def infer(interface: CoreInterface, seed: int = 0) -> tuple[bytes, bytes]:
    """A frame, and the request for it."""
    frame = bytes((seed + 7 * index) % 256 for index in range(interface.input.frame_bytes))
    return frame, protocol.encode_request(seed, Command.INFER, frame)


IDENTIFY = protocol.encode_request(0xA5, Command.IDENTIFY)
HELLO = Reply(Status.OK, bytes([protocol.PROTOCOL_VERSION]) + DESIGN[:8])


@pytest.mark.parametrize("interface", [NARROW, WIDE, LONG], ids=["narrow", "wide", "long"])
def test_link_infers(interface: CoreInterface) -> None:
    rig = Rig(interface)
    requests = [infer(interface, seed) for seed in (0, 90, 200)]
    wait = 300 + 20 * interface.output.frame_bytes
    replies = rig.run(IDENTIFY, wait, *(part for _, request in requests for part in (request, wait)))
    assert replies == [HELLO, *(Reply(Status.OK, rig.output(frame)) for frame, _ in requests)]


def broken(request: bytes, index: int) -> bytes:
    index %= len(request)
    return request[:index] + bytes([request[index] ^ 0x10]) + request[index + 1 :]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (broken(infer(NARROW)[1], 7), Status.BAD_CRC),
        *((broken(infer(NARROW)[1], last), Status.BAD_CRC) for last in range(-4, 0)),
        (broken(IDENTIFY, 1), Status.BAD_CRC),
        (broken(IDENTIFY, 5), Status.BAD_CRC),
        (protocol.encode_request(9, Command.INFER, bytes(5)), Status.BAD_LENGTH),
        (protocol.encode_request(9, Command.INFER, bytes(6 + 256)), Status.BAD_LENGTH),
        (protocol.encode_request(9, Command.INFER), Status.BAD_LENGTH),
        (protocol.encode_request(9, Command.IDENTIFY, bytes(6)), Status.BAD_LENGTH),
        (protocol.encode_request(9, 7, bytes([protocol.REQUEST_SYNC] * 5)), Status.BAD_COMMAND),
        *((infer(NARROW)[1][:cut], Status.TIMEOUT) for cut in range(2, 15)),
    ],
)
def test_link_refuses_and_recovers(bad: bytes, status: Status) -> None:
    rig = Rig(NARROW)
    frame, good = infer(NARROW, 33)
    replies = rig.run(infer(NARROW)[1], 400, bad, 2 * TIMEOUT + 200, good, 400)
    assert replies == [
        Reply(Status.OK, rig.output(infer(NARROW)[0])),
        Reply(status),
        Reply(Status.OK, rig.output(frame)),
    ]


def test_link_ignores_noise_between_requests() -> None:
    assert Rig(NARROW).run(bytes([0, 1, 0xFF, protocol.REPLY_SYNC]), 20, IDENTIFY, 300) == [HELLO]


@pytest.mark.parametrize(("interface", "pace"), [(NARROW, 9), (WIDE, 30), (LONG, 17)])
def test_slow_core_loses_nothing(interface: CoreInterface, pace: int) -> None:
    """The core takes a word in more cycles than the host sends one in."""
    assert pace > BYTE_CYCLES * interface.input.word_bits // 8
    rig = Rig(interface, pace=pace)
    requests = [infer(interface, seed) for seed in (0, 90)]
    wait = 300 + pace * interface.input.words + 20 * interface.output.frame_bytes
    replies = rig.run(*(part for _, request in requests for part in (request, wait)))
    assert replies == [Reply(Status.OK, rig.output(frame)) for frame, _ in requests]


def test_picture() -> None:
    rig = Rig(PICTURE)
    frame, request = infer(PICTURE)
    assert rig.run(request, 1500) == [Reply(Status.OK, rig.output(frame))]
    assert rig.frames == [frame]


@pytest.mark.parametrize("interface", [NARROW, WIDE], ids=["narrow", "wide"])
def test_link_reports_an_overrun(interface: CoreInterface) -> None:
    rig = Rig(interface, eager=True)
    request = infer(interface)[1]
    first, second, hello = rig.run(request, 400, request, 2 * TIMEOUT + 200, IDENTIFY, 300)
    assert (first.status, second, hello) == (Status.OK, Reply(Status.OVERRUN), HELLO)


def test_request_during_computation_takes_its_place() -> None:
    rig = Rig(NARROW, latency=1000)
    assert rig.run(infer(NARROW)[1], 50, IDENTIFY, 300, infer(NARROW, 5)[1], 1400) == [
        HELLO,
        Reply(Status.OK, rig.output(infer(NARROW, 5)[0])),
    ]


@pytest.mark.parametrize("bits", [8, 24])
def test_packer_waits_with_a_whole_word(bits: int) -> None:
    dut, count = Packer(bits), bits // 8
    taken: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.bytes.valid, 1)
        for byte in range(2 * count):
            ctx.set(dut.bytes.payload, byte)
            taken.append(ctx.get(dut.bytes.ready))
            await ctx.tick()
        assert ctx.get(dut.words.payload) == int.from_bytes(range(count), "little")
        ctx.set(dut.bytes.valid, 0)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert not ctx.get(dut.words.valid)

    simulate(dut, bench)
    assert taken == [1] * count + [0] * count


def test_unpacker_takes_a_word_with_its_last_byte() -> None:
    dut = Unpacker(24)
    seen: list[tuple[int, int]] = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.words.payload, 0x332211)
        ctx.set(dut.words.valid, 1)
        ctx.set(dut.bytes.ready, 1)
        for _ in range(6):
            seen.append((ctx.get(dut.bytes.payload), ctx.get(dut.words.ready)))
            await ctx.tick()

    simulate(dut, bench)
    assert seen == [(0x11, 0), (0x22, 0), (0x33, 1)] * 2


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_frames_beyond_the_link_are_refused() -> None:
    huge = CoreInterface(StreamFormat((256, 256, 3), "uint8", 3), StreamFormat((10,), "int16", 1))
    with pytest.raises(CapacityError, match="196608 bytes in, 20 out"):
        Link(huge, DESIGN, TIMEOUT)
    gc.collect()  # Amaranth speaks of the unused link here, and not in another test


def test_chip_verilog_is_the_same_anywhere(tmp_path: Path) -> None:
    first = chip_verilog(NARROW, DESIGN, tmp_path / "a")
    assert first == chip_verilog(NARROW, DESIGN, tmp_path / "b")
    assert "module chip(" in first and "\\" not in first and str(tmp_path) not in first
    assert first != chip_verilog(NARROW, b"another", tmp_path / "c")


@pytest.mark.parametrize("board", OPEN_BOARDS, ids=lambda board: board.name)
def test_build_plan(board: Board) -> None:
    plan = build_plan(board, "module core; endmodule\n", NARROW, DESIGN)
    constraints = plan.files[f"top{board.toolchain.constraints}"]
    assert "uart_0__rx__io" in constraints and "uart_0__tx__io" in constraints
    assert plan.files["core.v"] == "module core; endmodule\n"
    assert str(Path.cwd()) not in plan.files["top.il"]
    assert plan.digest() == build_plan(board, "module core; endmodule\n", NARROW, DESIGN).digest()


@pytest.mark.slow
def test_shell_is_small(tmp_path: Path) -> None:
    digits = CoreInterface(StreamFormat((64,), "uint8", 1), StreamFormat((10,), "int16", 1))
    plan = build_plan(find("icebreaker"), "", digits, DESIGN)
    (tmp_path / "top.il").write_text(plan.files["top.il"])
    (tmp_path / "core.v").write_text(
        "module core(input clk, rst, s_axis_tvalid, m_axis_tready, input [7:0] s_axis_tdata,"
        " output s_axis_tready, m_axis_tvalid, output [15:0] m_axis_tdata); endmodule\n"
    )
    script = ["read_verilog -lib core.v", "read_rtlil top.il", "synth_ice40 -top top", "tee -o stat.txt stat"]
    tools.run_yosys(script, cwd=tmp_path, log=tmp_path / "log", products=[Path("stat.txt")])
    cells = {}
    for line in (tmp_path / "stat.txt").read_text().splitlines():
        count, _, name = line.strip().partition(" ")
        cells[name.strip()] = int(count) if count.isdigit() else 0
    flip_flops = sum(count for name, count in cells.items() if name.startswith("SB_DFF"))
    assert cells["SB_LUT4"] < 360
    assert flip_flops < 190
