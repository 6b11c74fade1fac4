"""Results that grow word by word: partial ones are kept in RAM, or in the output register where it is one."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import memory
from amaranth.lib.wiring import PureInterface
from amaranth.utils import ceil_log2


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
    """Join `i` to `o`; completed results leave, a word a cycle is taken. Returns whether a word is taken now.

    A word meets its partial result, which RAM gives a cycle late, in a second stage.
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
