"""Width converter: the same elements in words of another number of lanes."""

from math import lcm

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class WidthConverter(wiring.Component):  # type: ignore[misc]
    """Words of `i_lanes` elements in, of `o_lanes` out; the narrower side moves a word every cycle.

    Where neither number divides the other, words widen to the least common multiple and narrow from there.
    """

    def __init__(self, shape: Shape, i_lanes: int, o_lanes: int) -> None:
        self.shape, self.i_lanes, self.o_lanes = shape, i_lanes, o_lanes
        super().__init__(
            {"i": In(lanes_signature(shape, i_lanes)), "o": Out(lanes_signature(shape, o_lanes))}
        )

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        wide = lcm(self.i_lanes, self.o_lanes)
        if wide == self.i_lanes == self.o_lanes:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        elif wide == self.o_lanes:
            self._widen(m)
        elif wide == self.i_lanes:
            self._narrow(m)
        else:
            m.submodules.widen = widen = WidthConverter(self.shape, self.i_lanes, wide)
            m.submodules.narrow = narrow = WidthConverter(self.shape, wide, self.o_lanes)
            wiring.connect(m, wiring.flipped(self.i), widen.i)
            wiring.connect(m, widen.o, narrow.i)
            wiring.connect(m, narrow.o, wiring.flipped(self.o))
        return m

    def _widen(self, m: Module) -> None:
        """New words shift in from the top; the word is whole when the first has come to the bottom."""
        ratio = self.o_lanes // self.i_lanes
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
        ratio = self.i_lanes // self.o_lanes
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
