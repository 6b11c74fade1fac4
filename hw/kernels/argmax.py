"""Arg-max: the index of a frame's greatest value, the lowest index where several are equal."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class ArgMax(wiring.Component):  # type: ignore[misc]
    """Frames of `channels` values, `PE` a word, become one label a frame."""

    def __init__(self, channels: int, *, x_shape: Shape, pe: int) -> None:
        self.channels, self.pe, self.x_shape = channels, pe, x_shape
        self.o_shape = Shape.cast(range(channels))
        super().__init__({"i": In(lanes_signature(x_shape, pe)), "o": Out(lanes_signature(self.o_shape, 1))})

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        folds = self.channels // self.pe
        fold = Signal(counter_width(folds))
        best = Signal(self.x_shape)
        best_at = Signal(self.o_shape)
        value, at = self.i.payload[0], Value.cast(fold * self.pe)
        for lane in range(1, self.pe):
            beats = self.i.payload[lane] > value
            value, at = Mux(beats, self.i.payload[lane], value), Mux(beats, fold * self.pe + lane, at)
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
