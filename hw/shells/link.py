"""Framing: requests from the UART to the core, its output to the UART, as `hw.shells.protocol` says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from common.errors import CapacityError
from hw.interface import CoreInterface
from hw.shells.bytes import Buffer, Crc, Packer, Unpacker
from hw.shells.loader import Loader, load_signature
from hw.shells.protocol import (
    BLOCK_BYTES,
    CRC_BYTES,
    MAX_PAYLOAD,
    REPLY_SYNC,
    REQUEST_SYNC,
    Command,
    Status,
    encode_identity,
)


class Link(wiring.Component):  # type: ignore[misc]
    """One request at a time: checks it while its payload already flows into the core, then replies.

    The host cannot wait but the core may: a buffer holds a whole frame. `core_reset` drops a faulty request
    from the core. A request that breaks off ends after `timeout` cycles without a byte (rounded up to a power
    of two). A byte that comes while the core computes drops that frame and starts a new request: the host has
    timed out. Bytes come `hw.shells.bytes.BYTE_CYCLES` or more cycles apart.

    Where the core has weights to load, port `load` writes them. Until all are there no frame is accepted, and
    `core_reset`, which keeps them, holds the core: windows give padding before a frame comes, and a kernel
    would sum it with weights that are not there yet.
    """

    def __init__(self, interface: CoreInterface, identity: bytes, timeout: int) -> None:
        ports = {
            "received": In(stream.Signature(8, always_ready=True)),
            "sent": Out(stream.Signature(8)),
            "to_core": Out(stream.Signature(interface.input.word_bits)),
            "from_core": In(stream.Signature(interface.output.word_bits)),
            "core_reset": Out(1),
            "busy": Out(1),
        }
        self._loader: Loader | None = None
        if interface.weights is not None:
            ports["load"] = Out(load_signature(interface.weights))
            self._loader = Loader(interface.weights)
        super().__init__(ports)
        self._in_bytes = interface.input.frame_bytes
        self._out_bytes = interface.output.frame_bytes
        if max(self._in_bytes, self._out_bytes) > MAX_PAYLOAD:
            raise CapacityError(
                f"frames of {self._in_bytes} bytes in, {self._out_bytes} out: the link takes {MAX_PAYLOAD}"
            )
        self._hello = encode_identity(identity)
        self._buffer = Buffer(self._in_bytes)
        self._packer = Packer(interface.input.word_bits)
        self._unpacker = Unpacker(interface.output.word_bits)
        self._crc = Crc()
        self._sequence = Signal(8)
        self._infer = Signal()
        self._status = Signal(Status)
        self._load = Signal()
        block = 0 if self._loader is None else BLOCK_BYTES
        self._left = Signal(range(max(self._in_bytes, self._out_bytes, len(self._hello), block, CRC_BYTES)))
        self._timer = Signal((timeout - 1).bit_length() + 1)
        self._silent = self._timer[-1]

    def elaborate(self, platform: Any) -> Module:
        """One state machine for both ways, with one CRC."""
        m = Module()
        m.submodules.crc = self._crc
        m.submodules.buffer = self._buffer
        m.submodules.packer = packer = self._packer
        m.submodules.unpacker = unpacker = self._unpacker
        wiring.connect(m, self._buffer.bytes, packer.bytes)
        wiring.connect(m, packer.words, wiring.flipped(self.to_core))
        wiring.connect(m, wiring.flipped(self.from_core), unpacker.words)
        m.d.comb += [
            self._crc.data.eq(self.sent.payload),
            self.sent.payload.eq(
                self.received.payload
            ),  # where none is sent, so that the CRC needs no choice
            self._buffer.data.eq(self.received.payload),
            self._buffer.clear.eq(self.core_reset),
            packer.clear.eq(self.core_reset),
            unpacker.clear.eq(self.core_reset),
        ]
        if self._loader is not None:
            m.d.comb += self.core_reset.eq(~self._loader.loaded)
        with m.If(self.received.valid):
            m.d.sync += self._timer.eq(0)
        with m.Elif(~self._silent):
            m.d.sync += self._timer.eq(self._timer + 1)
        with m.FSM() as fsm:
            with m.State("idle"), m.If(self.received.valid):
                self._begin(m)
            self._receive_header(m)
            self._receive_rest(m)
            if self._loader is not None:
                self._receive_block(m, self._loader)
            self._wait(m)
            self._send_header(m)
            self._send_rest(m)
        m.d.comb += self.busy.eq(~fsm.ongoing("idle"))
        return m

    def _begin(self, m: Module) -> None:
        """Look for the start of a request in the byte that is there."""
        m.d.comb += self._crc.start.eq(1)
        m.d.sync += self._status.eq(Status.OK)
        if self._loader is not None:
            m.d.sync += self._load.eq(0)
        m.next = "idle"
        with m.If(self.received.payload == REQUEST_SYNC):
            m.next = "sequence"

    def _fail(self, m: Module, status: Status) -> None:
        m.d.sync += self._status.eq(status)
        m.next = "drain"

    @contextmanager
    def _receive(self, m: Module, state: str, *, check: bool = False) -> Iterator[None]:
        """A state amid a request; the body of the `with` says what a byte does in it."""
        with m.State(state):
            with m.If(self.received.valid):
                m.d.comb += [self._crc.valid.eq(1), self._crc.check.eq(check)]
                yield
            with m.Elif(self._silent):
                self._fail(m, Status.TIMEOUT)

    def _receive_header(self, m: Module) -> None:
        byte = self.received.payload
        low, high = (Mux(self._infer, part, 0) for part in self._in_bytes.to_bytes(2, "little"))
        unknown = (byte != Command.INFER) & (byte != Command.IDENTIFY)
        if self._loader is not None:
            block = (1 + BLOCK_BYTES).to_bytes(2, "little")
            low, high = (Mux(self._load, part, other) for part, other in zip(block, (low, high), strict=True))
            unknown &= byte != Command.LOAD
        with self._receive(m, "sequence"):
            m.d.sync += self._sequence.eq(byte)
            m.next = "command"
        with self._receive(m, "command"):
            m.d.sync += self._infer.eq(byte == Command.INFER)
            m.next = "length low"
            if self._loader is not None:
                m.d.sync += self._load.eq(byte == Command.LOAD)
                with m.If((byte == Command.INFER) & ~self._loader.loaded):
                    self._fail(m, Status.NOT_LOADED)
            with m.If(unknown):
                self._fail(m, Status.BAD_COMMAND)
        with self._receive(m, "length low"):
            m.next = "length high"
            with m.If(byte != low):
                self._fail(m, Status.BAD_LENGTH)
        with self._receive(m, "length high"):
            self._expect_crc(m, "crc")
            with m.If(self._infer):
                m.d.sync += self._left.eq(self._in_bytes - 1)
                m.next = "payload"
            if self._loader is not None:
                with m.If(self._load):
                    m.next = "block number"
            with m.If(byte != high):
                self._fail(m, Status.BAD_LENGTH)

    def _receive_rest(self, m: Module) -> None:
        with self._receive(m, "payload"):
            m.d.comb += self._buffer.write.eq(1)
            self._count_down(m, "crc")
            with m.If(self._buffer.full):
                self._fail(m, Status.OVERRUN)
        with self._receive(m, "crc", check=True):
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0):
                m.next = "compute"

    def _expect_crc(self, m: Module, state: str) -> None:
        m.d.sync += self._left.eq(CRC_BYTES - 1)
        m.next = state

    def _count_down(self, m: Module, crc: str) -> None:
        """A byte of a payload; the state `crc` follows the last one."""
        m.d.sync += self._left.eq(self._left - 1)
        with m.If(self._left == 0):
            self._expect_crc(m, crc)

    def _receive_block(self, m: Module, loader: Loader) -> None:
        """Write a block into RAM at once; after a damaged one all blocks must come again."""
        m.submodules.loader = loader
        wiring.connect(m, loader.load, wiring.flipped(self.load))
        m.d.comb += loader.bytes.payload.eq(self.received.payload)
        with self._receive(m, "block number"):
            m.d.sync += self._left.eq(BLOCK_BYTES - 1)
            m.next = "block"
            with m.If(self.received.payload == 0):
                m.d.comb += loader.clear.eq(1)
            with m.Elif((self.received.payload != loader.block) | loader.whole):
                self._fail(m, Status.BAD_BLOCK)
        with self._receive(m, "block"):
            m.d.comb += loader.bytes.valid.eq(1)
            self._count_down(m, "crc")

    def _wait(self, m: Module) -> None:
        with m.State("compute"):
            with m.If(self.received.valid):
                m.d.comb += self.core_reset.eq(1)
                self._begin(m)
            with m.Elif(self._crc.mismatch):
                self._fail(m, Status.BAD_CRC)
            with m.Elif(~self._crc.busy & (self._unpacker.bytes.valid | ~self._infer)):
                m.next = "send sync"  # the CRC goes on from that of the request
        with m.State("drain"):
            m.d.comb += [self.core_reset.eq(1), self._crc.start.eq(1)]
            if self._loader is not None:
                m.d.comb += self._loader.clear.eq(self._load)
            with m.If(self._silent):
                m.next = "send sync"

    @contextmanager
    def _send(
        self, m: Module, state: str, byte: Any, *, valid: Any = 1, hashed: bool = True, check: bool = False
    ) -> Iterator[None]:
        """A state that sends `byte` once it is `valid`; the body of the `with` says what follows."""
        with m.State(state):
            m.d.comb += [self.sent.payload.eq(byte), self.sent.valid.eq(valid & ~self._crc.busy)]
            with m.If(self.sent.valid & self.sent.ready):
                m.d.comb += [self._crc.valid.eq(hashed), self._crc.check.eq(check)]
                yield

    def _send_header(self, m: Module) -> None:
        good = self._status == Status.OK
        output, hello = self._out_bytes, len(self._hello)
        answered = good if self._loader is None else good & ~self._load
        length = Mux(answered, Mux(self._infer, output, hello), 0)
        with self._send(m, "send sync", Const(REPLY_SYNC, 8), hashed=False):
            m.next = "send sequence"
        with self._send(m, "send sequence", self._sequence):
            m.next = "send status"
        with self._send(m, "send status", self._status):
            m.next = "send length low"
        with self._send(m, "send length low", length[:8]):
            m.next = "send length high"
        with self._send(m, "send length high", length[8:]):
            self._expect_crc(m, "send crc")
            with m.If(good & self._infer):
                m.d.sync += self._left.eq(output - 1)
                m.next = "send output"
            with m.Elif(answered):
                m.d.sync += self._left.eq(hello - 1)
                m.next = "send identity"

    def _send_rest(self, m: Module) -> None:
        hello = Array(Const(byte, 8) for byte in reversed(self._hello))  # `_left` counts down
        with self._send(m, "send identity", hello[self._left]):
            self._count_down(m, "send crc")
        output = self._unpacker.bytes
        with self._send(m, "send output", output.payload, valid=output.valid):
            m.d.comb += output.ready.eq(1)
            self._count_down(m, "send crc")
        with self._send(m, "send crc", self._crc.low, check=True):
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0):
                m.next = "idle"
