"""Kernels that move and join words: buffer, width converter, fork, add, arg-max."""

from math import lcm

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.utils import ceil_log2

from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.kernels.streams import Kernel, shape, wrapping_next


class ReplayBuffer(Kernel[specs.Buffer]):
    """Stores words in RAM and emits every frame of words `repeats` times.

    A matrix-vector layer reads its input vector once for each of its neuron folds; meanwhile the producer
    goes on with the next frame. A word's place is free again after its last reading. One word a cycle in,
    one out; the first word leaves two cycles after it came.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        spec, width, words = self.spec, self.spec.stream.bits, self.spec.words
        # A word is read in a later cycle than it is written, so no logic need see to both at once.
        ram = memory.Memory(shape=width, depth=words, init=[], attrs={"no_rw_check": 1})
        m.submodules.ram = ram
        write, read = ram.write_port(), ram.read_port()
        address_bits = ceil_log2(words)
        head, tail, start = (Signal(address_bits, name=name) for name in ("head", "tail", "start"))
        free = Signal(range(words + 1), init=words)
        unread = Signal(range(words + 1))
        word = Signal(counter_width(spec.frame))
        turn = Signal(counter_width(spec.repeats))
        first, last, ends = Signal(), Signal(), Signal()
        pushed, popped = Signal(), Signal()
        m.d.comb += [
            first.eq(turn == 0),
            last.eq(turn == spec.repeats - 1),
            ends.eq(word == spec.frame - 1),
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
                word.eq(wrapping_next(word, spec.frame)),
                tail.eq(Mux(ends & ~last, start, tail + 1)),
            ]
            with m.If(ends):
                m.d.sync += turn.eq(wrapping_next(turn, spec.repeats))
            with m.If(ends & last):
                m.d.sync += start.eq(tail + 1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class WidthConverter(Kernel[specs.WidthConverter]):
    """The same values in words of another number of lanes; the narrower side moves a word every cycle.

    Where neither number of lanes divides the other, words widen to the least common multiple, then narrow.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        i_lanes, o_lanes = self.spec.i_lanes, self.spec.o_lanes
        wide = lcm(i_lanes, o_lanes)
        if wide == i_lanes == o_lanes:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        elif wide == o_lanes:
            self._widen(m)
        elif wide == i_lanes:
            self._narrow(m)
        else:
            value = self.spec.value
            m.submodules.widen = widen = WidthConverter(specs.WidthConverter(value, i_lanes, wide))
            m.submodules.narrow = narrow = WidthConverter(specs.WidthConverter(value, wide, o_lanes))
            wiring.connect(m, wiring.flipped(self.i), widen.i)
            wiring.connect(m, widen.o, narrow.i)
            wiring.connect(m, narrow.o, wiring.flipped(self.o))
        return m

    def _widen(self, m: Module) -> None:
        """New words shift in from the top; the word is whole when the first has come to the bottom."""
        ratio = self.spec.o_lanes // self.spec.i_lanes
        place = Signal(counter_width(ratio))
        word, incoming = self.o.payload.as_value(), self.i.payload.as_value()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                word.eq((word >> len(incoming)) | (incoming << (len(word) - len(incoming)))),
                place.eq(wrapping_next(place, ratio)),
                self.o.valid.eq(place == ratio - 1),
            ]

    def _narrow(self, m: Module) -> None:
        """The word shifts down as its parts leave; the next one comes in as the last part leaves."""
        ratio = self.spec.i_lanes // self.spec.o_lanes
        place = Signal(counter_width(ratio))
        word = Signal(len(self.i.payload.as_value()))
        outgoing = self.o.payload.as_value()
        leaves, last = Signal(), Signal()
        m.d.comb += [
            outgoing.eq(word[: len(outgoing)]),
            leaves.eq(self.o.valid & self.o.ready),
            last.eq(place == ratio - 1),
            self.i.ready.eq(~self.o.valid | (leaves & last)),
        ]
        with m.If(leaves):
            m.d.sync += [word.eq(word >> len(outgoing)), place.eq(wrapping_next(place, ratio))]
            with m.If(last):
                m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [word.eq(self.i.payload.as_value()), self.o.valid.eq(1)]


class Fork(Kernel[specs.Fork]):
    """Every word goes to both streams out, to each as soon as its consumer is ready."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        served = [Signal(name=f"served_{number}") for number in range(2)]  # has the word already
        done = [before | output.ready for before, output in zip(served, self.outlets, strict=True)]
        m.d.comb += self.i.ready.eq(done[0] & done[1])
        for number, output in enumerate(self.outlets):
            m.d.comb += [output.valid.eq(self.i.valid & ~served[number]), output.payload.eq(self.i.payload)]
            with m.If(self.i.valid):
                m.d.sync += served[number].eq(done[number] & ~self.i.ready)
        return m


class Add(Kernel[specs.Add]):
    """The sums of two streams of unsigned values; a pair of words a cycle."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        x, y = self.inlets
        advance = ~self.o.valid | self.o.ready
        m.d.comb += [x.ready.eq(advance & y.valid), y.ready.eq(advance & x.valid)]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(x.valid & y.valid)
            for lane in range(self.spec.layer.lanes):
                m.d.sync += self.o.payload[lane].eq(x.payload[lane] + y.payload[lane])
        return m


class ArgMax(Kernel[specs.ArgMax]):
    """The index of a frame's greatest value, the lowest index where several are equal."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        pe, folds = self.spec.layer.pe, self.spec.layer.cycles
        fold = Signal(counter_width(folds))
        best = Signal(shape(self.spec.x))
        best_at = Signal(shape(self.spec.value))
        value, at = self.i.payload[0], Value.cast(fold * pe)
        for lane in range(1, pe):
            beats = self.i.payload[lane] > value
            value, at = Mux(beats, self.i.payload[lane], value), Mux(beats, fold * pe + lane, at)
        keeps = Signal()
        m.d.comb += [
            keeps.eq((fold != 0) & (best >= value)),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [fold.eq(wrapping_next(fold, folds)), self.o.valid.eq(fold == folds - 1)]
            with m.If(~keeps):
                m.d.sync += [best.eq(value), best_at.eq(at)]
        m.d.comb += self.o.payload[0].eq(best_at)
        return m
