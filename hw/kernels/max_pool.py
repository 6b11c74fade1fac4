"""Max pooling without overlap: partial maxima of a row of cells are kept while the rows of pixels pass."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.kernels.partial import Part, accumulate, greatest
from hw.kernels.streams import counter_width, lanes_signature, wrapping_next


class MaxPool(wiring.Component):  # type: ignore[misc]
    """Frames (height, width, channels), `lanes` channels a word, shrink by `size`; a word a cycle in.

    A rest of columns makes a last cell of its own, never complete; a rest of rows a last row of such.
    """

    def __init__(
        self, shape: Shape, *, height: int, width: int, channels: int, size: tuple[int, int], lanes: int
    ) -> None:
        self.height, self.width, self.size = height, width, size
        self.groups, self.o_shape = channels // lanes, shape
        signature = lanes_signature(shape, lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    @property
    def places(self) -> int:
        """Partial maxima that are kept, in words."""
        return -(-self.width // self.size[1]) * self.groups

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        high, wide = self.size
        group, column, row = (Signal(counter_width(count)) for count in (self.groups, wide, high))
        place = Signal(counter_width(self.places))
        follows = (column != 0) if self.groups == 1 else Const(0)
        complete = (column == wide - 1) & (row == high - 1)
        part = Part(self.places, place, (column == 0) & (row == 0), complete, follows)
        taken = accumulate(m, self.i, self.o, part, greatest)

        pixel_ends, row_ends = Signal(), Signal()
        m.d.comb += [
            pixel_ends.eq(group == self.groups - 1),
            row_ends.eq((place == self.places - 1) & (column == (self.width - 1) % wide)),
        ]
        with m.If(taken):
            m.d.sync += group.eq(wrapping_next(group, self.groups))
            with m.If(row_ends):
                m.d.sync += [place.eq(0), column.eq(0), row.eq(self._next_row(m, row, taken & row_ends))]
            with m.Elif(pixel_ends):
                m.d.sync += [
                    place.eq(place + Mux(column == wide - 1, 1, 1 - self.groups)),
                    column.eq(wrapping_next(column, wide)),
                ]
            with m.Else():
                m.d.sync += place.eq(place + 1)
        return m

    def _next_row(self, m: Module, row: Signal, row_ends: Signal) -> Mux:
        """The row of the cell after this one; a frame starts with a new cell."""
        following = wrapping_next(row, self.size[0])
        if self.height % self.size[0] == 0:
            return following
        line = Signal(counter_width(self.height))
        with m.If(row_ends):
            m.d.sync += line.eq(wrapping_next(line, self.height))
        return Mux(line == self.height - 1, 0, following)
