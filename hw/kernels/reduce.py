"""Reduce: the greatest of each channel's taps, behind a depthwise window."""

from amaranth.hdl import Const, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.kernels.partial import Part, accumulate, greatest
from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class Reduce(wiring.Component):  # type: ignore[misc]
    """Of every `taps` words one, of each lane's greatest value; a word a cycle in."""

    def __init__(self, shape: Shape, *, taps: int, lanes: int) -> None:
        self.taps, self.o_shape = taps, shape
        signature = lanes_signature(shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        tap = Signal(counter_width(self.taps))
        part = Part(1, Const(0), tap == 0, tap == self.taps - 1, Const(1))
        taken = accumulate(m, self.i, self.o, part, greatest)
        with m.If(taken):
            m.d.sync += tap.eq(wrapping_next(tap, self.taps))
        return m
