"""Global sum: each channel's sum over all pixels of a frame."""

from amaranth.hdl import Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.kernels.partial import Part, accumulate, total
from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class GlobalSum(wiring.Component):  # type: ignore[misc]
    """Frames of `pixels` by `channels` values become one sum a channel; a word a cycle in."""

    def __init__(self, *, x_bits: int, pixels: int, channels: int, lanes: int) -> None:
        self.pixels, self.groups = pixels, channels // lanes
        self.o_shape = unsigned((pixels * ((1 << x_bits) - 1)).bit_length())
        super().__init__(
            {
                "i": In(lanes_signature(unsigned(x_bits), lanes)),
                "o": Out(lanes_signature(self.o_shape, lanes)),
            }
        )

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        group, pixel = Signal(counter_width(self.groups)), Signal(counter_width(self.pixels))
        part = Part(self.groups, group, pixel == 0, pixel == self.pixels - 1, Const(0))
        taken = accumulate(m, self.i, self.o, part, total)
        with m.If(taken):
            m.d.sync += group.eq(wrapping_next(group, self.groups))
            with m.If(group == self.groups - 1):
                m.d.sync += pixel.eq(wrapping_next(pixel, self.pixels))
        return m
