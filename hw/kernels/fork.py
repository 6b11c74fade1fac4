"""Fork: one stream to two takers."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface

from hw.kernels.streams import lanes_signature


class Fork(wiring.Component):  # type: ignore[misc]
    """Every word of `i` goes to `o[0]` and to `o[1]`, each time as soon as the taker is ready."""

    def __init__(self, shape: Shape, lanes: int) -> None:
        self.o_shape = shape
        signature = lanes_signature(shape, lanes)
        super().__init__({"i": In(signature), "o_0": Out(signature), "o_1": Out(signature)})

    @property
    def o(self) -> tuple[PureInterface, PureInterface]:
        """The streams that carry the words on."""
        return self.o_0, self.o_1

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        served = [Signal(name=f"served_{number}") for number in range(2)]  # has the word already
        done = [before | output.ready for before, output in zip(served, self.o, strict=True)]
        m.d.comb += self.i.ready.eq(done[0] & done[1])
        for number, output in enumerate(self.o):
            m.d.comb += [output.valid.eq(self.i.valid & ~served[number]), output.payload.eq(self.i.payload)]
            with m.If(self.i.valid):
                m.d.sync += served[number].eq(done[number] & ~self.i.ready)
        return m
