"""A decision tree: every comparison as its value passes by, the label at the end of the frame."""

from amaranth.hdl import Const, Module, Mux, Signal, Value

from hw.dataflow.tree import LEAF
from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.kernels.streams import Kernel, wrapping_next


class Tree(Kernel[specs.Tree]):
    """Frames of uint8 values become one label a frame; a word a cycle.

    Nodes that ask the same share a comparator and a flip-flop. The answers of a frame stand for one cycle at
    least after its last word, in which the label is read off them, while the next frame begins.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        words = self.spec.layer.cycles
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
        label = Signal(self.spec.value.width)
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
        table, lanes = self.spec.layer.table, self.spec.layer.lanes
        pairs = zip(table.feature.tolist(), table.threshold.tolist(), strict=True)
        answers = {}
        for feature, threshold in sorted({pair for pair in pairs if pair[0] != LEAF}):
            answer = Signal(name=f"x{feature}_above_{threshold}")
            with m.If(takes & (word == feature // lanes)):
                m.d.sync += answer.eq(self.i.payload[feature % lanes] > threshold)
            answers[feature, threshold] = answer
        return answers

    def _walk(self, answers: dict[tuple[int, int], Signal], node: int) -> Value:
        """The label below a node."""
        table = self.spec.layer.table
        feature = int(table.feature[node])
        if feature == LEAF:
            return Const(int(table.label[node]), self.spec.value.width)
        left, right = (self._walk(answers, int(side[node])) for side in (table.left, table.right))
        return Mux(answers[feature, int(table.threshold[node])], right, left)
