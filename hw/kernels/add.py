"""Add: the sums of two streams."""

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw.kernels.streams import lanes_signature


class Add(wiring.Component):  # type: ignore[misc]
    """Unsigned values of the streams `i[0]` and `i[1]` become their sums; a pair of words a cycle."""

    def __init__(self, x_bits: int, y_bits: int, lanes: int) -> None:
        """`x_bits` of the values of `i[0]`, `y_bits` of those of `i[1]`."""
        self.lanes = lanes
        self.o_shape = unsigned(((1 << x_bits) + (1 << y_bits) - 2).bit_length())
        super().__init__(
            {
                "i_0": In(lanes_signature(unsigned(x_bits), lanes)),
                "i_1": In(lanes_signature(unsigned(y_bits), lanes)),
                "o": Out(lanes_signature(self.o_shape, lanes)),
            }
        )

    @property
    def i(self) -> tuple[PureInterface, PureInterface]:
        """The streams that are added."""
        return self.i_0, self.i_1

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        x, y = self.i
        advance = ~self.o.valid | self.o.ready
        m.d.comb += [x.ready.eq(advance & y.valid), y.ready.eq(advance & x.valid)]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(x.valid & y.valid)
            for lane in range(self.lanes):
                m.d.sync += self.o.payload[lane].eq(x.payload[lane] + y.payload[lane])
        return m
