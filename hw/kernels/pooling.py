"""Kernels whose results grow word by word: max pooling, the greatest of taps, the sum over a frame.

Partial results are kept in RAM, or in the output register where there is only one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import memory
from amaranth.lib.wiring import PureInterface
from amaranth.utils import ceil_log2

from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.kernels.streams import Kernel, wrapping_next


@dataclass(frozen=True)
class Part:
    """Where the word that comes belongs.

    Attributes:
        places: results that grow at the same time.
        place: of the word's result. Words of one place never come one after the other, unless `follows`.
        first: whether the word is its result's first.
        last: whether it completes the result.
        follows: whether the word before was of the same place.
    """

    places: int
    place: Value
    first: Value
    last: Value
    follows: Value

    def registered(self, m: Module, enable: Signal) -> "Part":
        """The same, as it was a step before."""
        delayed = {}
        for name in ("place", "first", "last", "follows"):
            value = getattr(self, name)
            delayed[name] = Signal(len(value), name=f"{name}_before")
            with m.If(enable):
                m.d.sync += delayed[name].eq(value)
        return Part(self.places, **delayed)


Grow = Callable[[Value, Value, Value], Value]
"""What a lane's result becomes: of the value so far, the value that came, and whether this is the first."""


def accumulate(m: Module, i: PureInterface, o: PureInterface, part: Part, grow: Grow) -> Signal:
    """Join `i` to `o`: a word a cycle is taken, completed results leave. Returns whether a word is taken now.

    RAM gives a word's partial result a cycle late, so the two meet in a second stage.
    """
    advance, taken = Signal(), Signal()
    m.d.comb += [advance.eq(~o.valid | o.ready), i.ready.eq(advance), taken.eq(i.valid & advance)]
    valid, word, result = i.valid, i.payload, o.payload
    so_far: Value = result.as_value()
    if part.places > 1:
        before = part.registered(m, advance)
        valid, word = Signal(), Signal.like(i.payload, name="word")
        with m.If(advance):
            m.d.sync += [valid.eq(i.valid), word.eq(i.payload)]
        depth = 1 << ceil_log2(part.places)
        # A word is never read while it is written, unless it is not used: no logic for that case.
        ram = memory.Memory(shape=len(so_far), depth=depth, init=[], attrs={"no_rw_check": 1})
        m.submodules.partial = ram
        read, write = ram.read_port(), ram.write_port()
        m.d.comb += [
            read.addr.eq(part.place),
            read.en.eq(advance),
            write.addr.eq(before.place),
            write.en.eq(advance & valid),
        ]
        so_far = Mux(before.follows, so_far, read.data)
        part = before
    width = len(so_far) // len(i.payload)
    grown = Signal(len(so_far))
    for lane in range(len(i.payload)):
        value = grow(so_far.word_select(lane, width), word[lane], part.first)
        m.d.comb += grown.word_select(lane, width).eq(value)
    if part.places > 1:
        m.d.comb += write.data.eq(grown)
    with m.If(advance):
        m.d.sync += o.valid.eq(valid & part.last)
        with m.If(valid):
            m.d.sync += result.as_value().eq(grown)
    return taken


def greatest(so_far: Value, value: Value, first: Value) -> Value:
    """The greatest value of a lane."""
    return Mux(first | (value > so_far), value, so_far)


def total(so_far: Value, value: Value, first: Value) -> Value:
    """The sum of a lane's values."""
    return Mux(first, Const(0, len(so_far)), so_far) + value


class Reduce(Kernel[specs.Reduce]):
    """Of every `taps` words one, of each lane's greatest value; a word a cycle in."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        taps = self.spec.layer.taps
        tap = Signal(counter_width(taps))
        part = Part(1, Const(0), tap == 0, tap == taps - 1, Const(1))
        taken = accumulate(m, self.i, self.o, part, greatest)
        with m.If(taken):
            m.d.sync += tap.eq(wrapping_next(tap, taps))
        return m


class GlobalSum(Kernel[specs.GlobalSum]):
    """Each channel's sum over all pixels of a frame; a word a cycle in."""

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        groups, pixels = self.spec.groups, self.spec.layer.pixels
        group, pixel = Signal(counter_width(groups)), Signal(counter_width(pixels))
        part = Part(groups, group, pixel == 0, pixel == pixels - 1, Const(0))
        taken = accumulate(m, self.i, self.o, part, total)
        with m.If(taken):
            m.d.sync += group.eq(wrapping_next(group, groups))
            with m.If(group == groups - 1):
                m.d.sync += pixel.eq(wrapping_next(pixel, pixels))
        return m


class MaxPool(Kernel[specs.MaxPool]):
    """Max pooling without overlap; partial maxima of a row of cells are kept while rows of pixels pass.

    A word a cycle in. A rest of columns makes a last cell of its own, never complete; a rest of rows a last
    row of such.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        (_, width, _), (high, wide) = self.spec.layer.shape, self.spec.layer.size
        groups, places = self.spec.groups, self.spec.places
        group, column, row = (Signal(counter_width(count)) for count in (groups, wide, high))
        place = Signal(counter_width(places))
        follows = (column != 0) if groups == 1 else Const(0)
        complete = (column == wide - 1) & (row == high - 1)
        part = Part(places, place, (column == 0) & (row == 0), complete, follows)
        taken = accumulate(m, self.i, self.o, part, greatest)

        pixel_ends, row_ends = Signal(), Signal()
        m.d.comb += [
            pixel_ends.eq(group == groups - 1),
            row_ends.eq((place == places - 1) & (column == (width - 1) % wide)),
        ]
        with m.If(taken):
            m.d.sync += group.eq(wrapping_next(group, groups))
            with m.If(row_ends):
                m.d.sync += [place.eq(0), column.eq(0), row.eq(self._next_row(m, row, taken & row_ends))]
            with m.Elif(pixel_ends):
                m.d.sync += [
                    place.eq(place + Mux(column == wide - 1, 1, 1 - groups)),
                    column.eq(wrapping_next(column, wide)),
                ]
            with m.Else():
                m.d.sync += place.eq(place + 1)
        return m

    def _next_row(self, m: Module, row: Signal, row_ends: Signal) -> Mux:
        """The row of the cell after this one; a frame starts with a new cell."""
        height, size = self.spec.layer.shape[0], self.spec.layer.size[0]
        following = wrapping_next(row, size)
        if height % size == 0:
            return following
        line = Signal(counter_width(height))
        with m.If(row_ends):
            m.d.sync += line.eq(wrapping_next(line, height))
        return Mux(line == height - 1, 0, following)
