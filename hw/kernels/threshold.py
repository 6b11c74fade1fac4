"""Multi-threshold activation: how many of a channel's thresholds a value reaches, by binary search."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels.streams import counter_width, lanes_signature, rom, wrapping_next


def search_tree(thresholds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Thresholds (channels, 2**k - 1) in heap order: node 1 is the root, node n's children 2n and 2n + 1.

    Column 0 is unused; the result is (channels, 2**k).
    """
    channels, count = thresholds.shape
    bits = (count + 1).bit_length() - 1
    tree = np.zeros((channels, count + 1), np.int64)
    for node in range(1, count + 1):
        depth = node.bit_length() - 1
        span = 1 << (bits - depth)
        tree[:, node] = thresholds[:, (node - (1 << depth)) * span + span // 2 - 1]
    return tree


class Threshold(wiring.Component):  # type: ignore[misc]
    """Frames of `channels` values, `PE` a word, become k-bit counts of the thresholds they reach.

    `sequential`: one comparator a lane, k cycles a word, for producers that leave that much time.
    Otherwise a pipeline of k comparators a lane takes a word a cycle.
    """

    def __init__(self, thresholds: NDArray[np.int64], *, x_shape: Shape, pe: int, sequential: bool) -> None:
        """`thresholds` (channels, 2**k - 1), ascending in each row, of values that `x_shape` holds.

        A threshold just beyond `x_shape`'s range ("never") is taken too: the comparison is one bit wider.
        """
        self.channels, count = thresholds.shape
        self.bits = (count + 1).bit_length() - 1
        self.pe, self.sequential = pe, sequential
        self.x_shape = x_shape
        self.tree = search_tree(thresholds.astype(np.int64))
        low, high = min(0, int(thresholds.min())), max(0, int(thresholds.max()))
        self.t_shape = Shape.cast(range(low, high + 1))
        super().__init__(
            {
                "i": In(lanes_signature(x_shape, pe)),
                "o": Out(lanes_signature(unsigned(self.bits), pe)),
            }
        )

    @property
    def folds(self) -> int:
        """Words a frame."""
        return int(self.channels) // self.pe

    def _level_words(self, lane: int, level: slice) -> list[int]:
        """The tree's nodes of `level` for each of the lane's channels, channel by channel."""
        words: list[int] = self.tree[lane :: self.pe, level].reshape(-1).tolist()
        return words

    def _reaches(self, value: Value, word: Value) -> Value:
        """Whether the value is at least the threshold in the ROM word."""
        threshold = word.as_signed() if self.t_shape.signed else word.as_unsigned()
        return value >= threshold

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        if self.sequential:
            self._search_in_turns(m)
        else:
            self._search_in_stages(m)
        return m

    def _search_in_turns(self, m: Module) -> None:
        """One step a cycle; the last step and the next word's arrival share a cycle."""
        busy, final, stalled, taken = Signal(), Signal(), Signal(), Signal()
        steps = Signal(self.bits)  # one-hot place of the step, the last at the highest bit
        fold = Signal(counter_width(self.folds))
        m.d.comb += [
            final.eq(busy & steps[-1]),
            stalled.eq(final & self.o.valid & ~self.o.ready),
            self.i.ready.eq(~busy | (final & ~stalled)),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(taken):
            m.d.sync += [busy.eq(1), steps.eq(1)]
        with m.Elif(~stalled):
            m.d.sync += [busy.eq(busy & ~final), steps.eq(steps << 1)]
        with m.If(final & ~stalled):
            m.d.sync += [self.o.valid.eq(1), fold.eq(wrapping_next(fold, self.folds))]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        upcoming = Signal.like(fold)
        m.d.comb += upcoming.eq(fold)
        with m.If(final):
            m.d.comb += upcoming.eq(wrapping_next(fold, self.folds))
        for lane in range(self.pe):
            value = Signal(self.x_shape, name=f"value_{lane}")
            node, node_next = (Signal(self.bits, name=f"{name}_{lane}") for name in ("node", "node_next"))
            port = rom(m, f"thresholds_{lane}", self._level_words(lane, slice(None)), self.t_shape.width)
            child = Cat(self._reaches(value, port.data), node)
            m.d.comb += [
                node_next.eq(child[: self.bits]),
                port.addr.eq(Cat(node_next, upcoming)),
                port.en.eq(~stalled),
            ]
            with m.If(taken):
                m.d.comb += node_next.eq(1)
                m.d.sync += value.eq(self.i.payload[lane])
            with m.If(~stalled):
                m.d.sync += node.eq(node_next)
            with m.If(final & ~stalled):
                m.d.sync += self.o.payload[lane].eq(child[: self.bits])

    def _search_in_stages(self, m: Module) -> None:
        """A stage a step: a level of the tree in a ROM of its own, read while the value moves up."""
        advance = Signal()
        fold = Signal(counter_width(self.folds))
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance & self.i.valid):
            m.d.sync += fold.eq(wrapping_next(fold, self.folds))
        valid, at = self.i.valid, fold
        values: list[Value] = [self.i.payload[lane] for lane in range(self.pe)]
        paths: list[Value] = [Const(0, 0)] * self.pe
        for level in range(self.bits):
            valid_next, at_next = Signal(name=f"valid_{level}"), Signal.like(fold, name=f"fold_{level}")
            with m.If(advance):
                m.d.sync += [valid_next.eq(valid), at_next.eq(at)]
            nodes = slice(1 << level, 2 << level)
            for lane in range(self.pe):
                tag = f"{level}_{lane}"
                port = rom(m, f"thresholds_{tag}", self._level_words(lane, nodes), self.t_shape.width)
                value = Signal(self.x_shape, name=f"value_{tag}")
                path = Signal(level, name=f"path_{tag}")
                m.d.comb += [port.addr.eq(Cat(paths[lane], at)), port.en.eq(advance)]
                with m.If(advance):
                    m.d.sync += [value.eq(values[lane]), path.eq(paths[lane])]
                values[lane] = value
                paths[lane] = Cat(self._reaches(value, port.data), path)
            valid, at = valid_next, at_next
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            for lane in range(self.pe):
                m.d.sync += self.o.payload[lane].eq(paths[lane])
