"""A decision tree: every comparison as its value passes by, the label at the end of the frame."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels.specs.base import Stream, ValueType, counter_width
from hw.kernels.streams import signature, wrapping_next

LEAF = -1
"""In place of a leaf's feature."""


@dataclass(frozen=True, eq=False)
class TreeTable:
    """Nodes in arrays (nodes,), the root first, every node before its children.

    A node looks at the value at `feature` of a frame: one above `threshold` goes `right`, others `left`.
    Leaves have the feature `LEAF` and a `label`.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    label: NDArray[np.int64]


class Tree(wiring.Component):  # type: ignore[misc]
    """Frames of `features` uint8 values, `lanes` a word, become one label a frame; a word a cycle.

    Nodes that ask the same share a comparator and a flip-flop. The answers of a frame stand for one cycle at
    least after its last word, in which the label is read off them, while the next frame begins.
    """

    def __init__(self, table: TreeTable, *, features: int, classes: int, lanes: int) -> None:
        """`features` is a multiple of `lanes`."""
        self.table, self.features, self.lanes = table, features, lanes
        self.value = ValueType.holding(0, classes - 1)
        super().__init__(
            {"i": In(signature(Stream(ValueType(8), lanes))), "o": Out(signature(Stream(self.value, 1)))}
        )

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        words = self.features // self.lanes
        word = Signal(counter_width(words))
        full, moves, takes = Signal(), Signal(), Signal()
        m.d.comb += [
            moves.eq(full & (~self.o.valid | self.o.ready)),
            self.i.ready.eq(~full | moves),
            takes.eq(self.i.valid & self.i.ready),
        ]
        answers = self._answers(m, word, takes)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        label = Signal(self.value.width)
        m.d.comb += self.o.payload[0].eq(label)
        with m.If(moves):
            m.d.sync += [full.eq(0), self.o.valid.eq(1), label.eq(self._walk(answers, 0))]
        with m.If(takes):
            m.d.sync += word.eq(wrapping_next(word, words))
            with m.If(word == words - 1):
                m.d.sync += full.eq(1)
        return m

    def _answers(self, m: Module, word: Signal, takes: Signal) -> dict[tuple[int, int], Signal]:
        """A flip-flop for each different question, feature and threshold, set as the value passes by."""
        pairs = zip(self.table.feature.tolist(), self.table.threshold.tolist(), strict=True)
        answers = {}
        for feature, threshold in sorted({pair for pair in pairs if pair[0] != LEAF}):
            answer = Signal(name=f"x{feature}_above_{threshold}")
            with m.If(takes & (word == feature // self.lanes)):
                m.d.sync += answer.eq(self.i.payload[feature % self.lanes] > threshold)
            answers[feature, threshold] = answer
        return answers

    def _walk(self, answers: dict[tuple[int, int], Signal], node: int) -> Value:
        """The label below a node."""
        table = self.table
        feature = int(table.feature[node])
        if feature == LEAF:
            return Const(int(table.label[node]), self.value.width)
        left, right = (self._walk(answers, int(side[node])) for side in (table.left, table.right))
        return Mux(answers[feature, int(table.threshold[node])], right, left)
