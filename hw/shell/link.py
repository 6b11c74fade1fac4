"""Framing: requests from the UART to the core, the core's output to the UART, as `hw.shell.protocol` says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.interface import CoreInterface
from hw.shell.protocol import (
    MAX_PAYLOAD,
    REPLY_SYNC,
    REQUEST_SYNC,
    Command,
    Status,
    encode_identity,
)
from pipeline.errors import CapacityError


class Packer(wiring.Component):  # type: ignore[misc]
    """Bytes to words, first byte lowest."""

    def __init__(self, word_bits: int) -> None:
        super().__init__(
            {
                "bytes": In(stream.Signature(8)),
                "words": Out(stream.Signature(word_bits)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A shift register, and a counter of the bytes in it."""
        m = Module()
        word = self.words.payload
        count = len(word) // 8
        have = Signal(range(count))
        m.d.comb += self.bytes.ready.eq(~self.words.valid | self.words.ready)
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [
                word.eq(Cat(word, self.bytes.payload)[8:]),
                self.words.valid.eq(have == count - 1),
                have.eq(Mux(have == count - 1, 0, have + 1)),
            ]
        with m.If(self.clear):
            m.d.sync += [self.words.valid.eq(0), have.eq(0)]
        return m


class Unpacker(wiring.Component):  # type: ignore[misc]
    """Words to bytes, lowest byte first; a word is taken with its last byte."""

    def __init__(self, word_bits: int) -> None:
        super().__init__(
            {
                "words": In(stream.Signature(word_bits)),
                "bytes": Out(stream.Signature(8)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A multiplexer over the waiting word: nothing of it is stored."""
        m = Module()
        count = len(self.words.payload) // 8
        index = Signal(range(count))
        last = index == count - 1
        m.d.comb += [
            self.bytes.payload.eq(self.words.payload.word_select(index, 8)),
            self.bytes.valid.eq(self.words.valid),
            self.words.ready.eq(self.bytes.ready & last),
        ]
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        with m.If(self.clear):
            m.d.sync += index.eq(0)
        return m


class Link(wiring.Component):  # type: ignore[misc]
    """One request at a time: checks it while its payload already flows into the core, then replies.

    A host cannot be held up, a core may hold up its input: a buffer has room for a whole frame. Whatever is
    wrong with a request, `core_reset` throws away what the core has of it. A request that breaks off is given
    up after `timeout` cycles without a byte (rounded up to a power of two). A byte that comes while the core
    computes gives that frame up and starts anew: the host has lost patience.
    """

    def __init__(self, interface: CoreInterface, identity: bytes, timeout: int) -> None:
        super().__init__(
            {
                "received": In(stream.Signature(8, always_ready=True)),
                "sent": Out(stream.Signature(8)),
                "to_core": Out(stream.Signature(interface.input.word_bits)),
                "from_core": In(stream.Signature(interface.output.word_bits)),
                "core_reset": Out(1),
                "busy": Out(1),
            }
        )
        self._in_bytes = interface.input.frame_bytes
        self._out_bytes = interface.output.frame_bytes
        if max(self._in_bytes, self._out_bytes) > MAX_PAYLOAD:
            raise CapacityError(
                f"frames of {self._in_bytes} bytes in, {self._out_bytes} out: the link takes {MAX_PAYLOAD}"
            )
        self._hello = encode_identity(identity)
        self._buffer = SyncFIFOBuffered(width=8, depth=self._in_bytes)
        self._packer = Packer(interface.input.word_bits)
        self._unpacker = Unpacker(interface.output.word_bits)
        self._crc = catalog.CRC16_IBM_3740(8).create()
        self._crc_byte = Signal(8)
        self._infer = Signal()
        self._status = Signal(Status)
        self._left = Signal(range(max(self._in_bytes, self._out_bytes, len(self._hello))))
        self._timer = Signal((timeout - 1).bit_length() + 1)
        self._silent = self._timer[-1]

    def elaborate(self, platform: Any) -> Module:
        """One state machine for both ways, with one CRC."""
        m = Module()
        m.submodules.crc = self._crc
        m.submodules.buffer = ResetInserter(self.core_reset)(self._buffer)
        m.submodules.packer = packer = self._packer
        m.submodules.unpacker = unpacker = self._unpacker
        wiring.connect(m, packer.words, wiring.flipped(self.to_core))
        wiring.connect(m, wiring.flipped(self.from_core), unpacker.words)
        m.d.comb += [
            self._crc.data.eq(self.received.payload),
            self._crc_byte.eq(self._crc.crc[:8]),
            self._buffer.w_data.eq(self.received.payload),
            packer.bytes.payload.eq(self._buffer.r_data),
            packer.bytes.valid.eq(self._buffer.r_rdy),
            self._buffer.r_en.eq(packer.bytes.ready),
            packer.clear.eq(self.core_reset),
            unpacker.clear.eq(self.core_reset),
        ]
        with m.If(self.received.valid):
            m.d.sync += self._timer.eq(0)
        with m.Elif(~self._silent):
            m.d.sync += self._timer.eq(self._timer + 1)
        with m.FSM() as fsm:
            with m.State("idle"), m.If(self.received.valid):
                self._begin(m)
            self._receive_header(m)
            self._receive_rest(m)
            self._wait(m)
            self._send_header(m)
            self._send_rest(m)
        m.d.comb += self.busy.eq(~fsm.ongoing("idle"))
        return m

    def _begin(self, m: Module) -> None:
        """Look for the start of a request in the byte that is there."""
        m.d.comb += self._crc.start.eq(1)
        m.d.sync += self._status.eq(Status.OK)
        m.next = "idle"
        with m.If(self.received.payload == REQUEST_SYNC):
            m.next = "command"

    def _fail(self, m: Module, status: Status) -> None:
        m.d.sync += self._status.eq(status)
        m.next = "drain"

    @contextmanager
    def _receive(self, m: Module, state: str, *, hashed: bool = True) -> Iterator[None]:
        """A state amid a request; the body of the `with` says what a byte does in it."""
        with m.State(state):
            with m.If(self.received.valid):
                m.d.comb += self._crc.valid.eq(hashed)
                yield
            with m.Elif(self._silent):
                self._fail(m, Status.TIMEOUT)

    def _receive_header(self, m: Module) -> None:
        byte = self.received.payload
        low, high = (Mux(self._infer, part, 0) for part in self._in_bytes.to_bytes(2, "little"))
        with self._receive(m, "command"):
            m.d.sync += self._infer.eq(byte == Command.INFER)
            m.next = "length low"
            with m.If((byte != Command.INFER) & (byte != Command.IDENTIFY)):
                self._fail(m, Status.BAD_COMMAND)
        with self._receive(m, "length low"):
            m.next = "length high"
            with m.If(byte != low):
                self._fail(m, Status.BAD_LENGTH)
        with self._receive(m, "length high"):
            m.d.sync += self._left.eq(self._in_bytes - 1)
            m.next = "crc low"
            with m.If(self._infer):
                m.next = "payload"
            with m.If(byte != high):
                self._fail(m, Status.BAD_LENGTH)

    def _receive_rest(self, m: Module) -> None:
        with self._receive(m, "payload"):
            m.d.comb += self._buffer.w_en.eq(1)
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0):
                m.next = "crc low"
            with m.If(~self._buffer.w_rdy):
                self._fail(m, Status.OVERRUN)
        with self._receive(m, "crc low", hashed=False):
            m.next = "crc high"
            with m.If(self.received.payload != self._crc_byte):
                self._fail(m, Status.BAD_CRC)
        with self._receive(m, "crc high", hashed=False):
            m.d.comb += self._crc_byte.eq(self._crc.crc[8:])
            m.next = "compute"
            with m.If(self.received.payload != self._crc_byte):
                self._fail(m, Status.BAD_CRC)

    def _wait(self, m: Module) -> None:
        with m.State("compute"):
            with m.If(self.received.valid):
                m.d.comb += self.core_reset.eq(1)
                self._begin(m)
            with m.Elif(self._unpacker.bytes.valid | ~self._infer):
                m.next = "send sync"
        with m.State("drain"):
            m.d.comb += self.core_reset.eq(1)
            with m.If(self._silent):
                m.next = "send sync"

    @contextmanager
    def _send(
        self, m: Module, state: str, byte: Any, *, valid: Any = 1, hashed: bool = True
    ) -> Iterator[None]:
        """A state that sends `byte` once it is `valid`; the body of the `with` says what follows."""
        with m.State(state):
            m.d.comb += [self.sent.payload.eq(byte), self.sent.valid.eq(valid), self._crc.data.eq(byte)]
            with m.If(self.sent.valid & self.sent.ready):
                m.d.comb += self._crc.valid.eq(hashed)
                yield

    def _send_header(self, m: Module) -> None:
        good = self._status == Status.OK
        output, hello = self._out_bytes, len(self._hello)
        length = Mux(good, Mux(self._infer, output, hello), 0)
        with self._send(m, "send sync", Const(REPLY_SYNC, 8), hashed=False):
            m.d.comb += self._crc.start.eq(1)
            m.next = "send status"
        with self._send(m, "send status", self._status):
            m.next = "send length low"
        with self._send(m, "send length low", length[:8]):
            m.next = "send length high"
        with self._send(m, "send length high", length[8:]):
            m.d.sync += self._left.eq(Mux(self._infer, output - 1, hello - 1))
            m.next = "send crc low"
            with m.If(good & self._infer):
                m.next = "send output"
            with m.Elif(good):
                m.next = "send identity"

    def _send_rest(self, m: Module) -> None:
        hello = Array(Const(byte, 8) for byte in reversed(self._hello))  # `_left` counts down
        with self._send(m, "send identity", hello[self._left]):
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0):
                m.next = "send crc low"
        output = self._unpacker.bytes
        with self._send(m, "send output", output.payload, valid=output.valid):
            m.d.comb += output.ready.eq(1)
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0):
                m.next = "send crc low"
        with self._send(m, "send crc low", self._crc_byte, hashed=False):
            m.next = "send crc high"
        with self._send(m, "send crc high", self._crc_byte, hashed=False):
            m.d.comb += self._crc_byte.eq(self._crc.crc[8:])
            m.next = "idle"
