"""Replay buffer: a FIFO that gives each frame several times; with one word a frame, once, a plain FIFO."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class ReplayBuffer(wiring.Component):  # type: ignore[misc]
    """Stores words in RAM and emits every frame of `frame` words `repeats` times.

    A matrix-vector layer reads its input vector once for each of its neuron folds; the buffer lets the
    producer go on with the next frame meanwhile. A word's place is free again after its last reading.
    One word a cycle in, one out; the first word leaves two cycles after it came.
    """

    def __init__(self, shape: Shape, lanes: int, *, depth: int, frame: int = 1, repeats: int = 1) -> None:
        """`depth` words are kept, rounded up to a power of two and to at least a frame and one word."""
        self.depth = 1 << ceil_log2(max(depth, frame + 1, 2))
        self.frame = frame
        self.repeats = repeats
        signature = lanes_signature(shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        width = len(self.i.payload.as_value())
        # A word is read in a later cycle than it is written, so no logic need see to both at once.
        ram = memory.Memory(shape=width, depth=self.depth, init=[], attrs={"no_rw_check": 1})
        m.submodules.ram = ram
        write, read = ram.write_port(), ram.read_port()
        address_bits = ceil_log2(self.depth)
        head, tail, start = (Signal(address_bits, name=name) for name in ("head", "tail", "start"))
        free = Signal(range(self.depth + 1), init=self.depth)
        unread = Signal(range(self.depth + 1))
        word = Signal(counter_width(self.frame))
        turn = Signal(counter_width(self.repeats))
        first, last, ends = Signal(), Signal(), Signal()
        pushed, popped = Signal(), Signal()
        m.d.comb += [
            first.eq(turn == 0),
            last.eq(turn == self.repeats - 1),
            ends.eq(word == self.frame - 1),
            self.i.ready.eq(free != 0),
            pushed.eq(self.i.valid & self.i.ready),
            popped.eq((~self.o.valid | self.o.ready) & (~first | (unread != 0))),
            write.addr.eq(head),
            write.data.eq(self.i.payload.as_value()),
            write.en.eq(pushed),
            read.addr.eq(tail),
            read.en.eq(popped),
            self.o.payload.as_value().eq(read.data),
        ]
        m.d.sync += [
            head.eq(head + pushed),
            free.eq(free - pushed + (popped & last)),
            unread.eq(unread + pushed - (popped & first)),
        ]
        with m.If(popped):
            m.d.sync += [
                self.o.valid.eq(1),
                word.eq(wrapping_next(word, self.frame)),
                tail.eq(Mux(ends & ~last, start, tail + 1)),
            ]
            with m.If(ends):
                m.d.sync += turn.eq(wrapping_next(turn, self.repeats))
            with m.If(ends & last):
                m.d.sync += start.eq(tail + 1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
