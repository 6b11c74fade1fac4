"""Folded matrix-vector product: PE neurons times SIMD inputs a cycle, weights in ROM."""

import numpy as np
from amaranth.hdl import Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels import dot
from hw.kernels.replay import ReplayBuffer
from hw.kernels.streams import counter_width, lanes_signature, pack, rom, wrapping_next


class MatrixVector(wiring.Component):  # type: ignore[misc]
    """`weights @ x` for frames of `inputs` unsigned values, `SIMD` a word in, `PE` accumulators a word out.

    Takes SF * NF cycles a frame (SF = inputs/SIMD, NF = outputs/PE), without a gap between frames: the replay
    buffer before it holds the frame in use and at least one more. Outputs come in order of neurons.

    With `exact` (the default) an output is the accumulator itself, signed. Without, it is the unsigned sum of
    digit rows, short of the accumulator by `offsets[neuron]`; thresholds take that up at no cost.
    """

    def __init__(
        self,
        weights: NDArray[np.int64],
        *,
        x_bits: int,
        pe: int,
        simd: int,
        buffered: int = 0,
        exact: bool = True,
    ) -> None:
        """`weights` (outputs, inputs); `buffered` words of input are kept beside the frame in use."""
        outputs, inputs = weights.shape
        self.pe, self.simd, self.exact = pe, simd, exact
        self.synapse_folds, self.neuron_folds = inputs // simd, outputs // pe
        self.depth = self.synapse_folds + buffered
        self.digits = dot.recode(weights.astype(np.int64))
        self.offsets: NDArray[np.int64] = dot.offset(self.digits, x_bits).sum(axis=1)
        self.x_shape = unsigned(x_bits)
        self.o_shape = self._output_shape(weights.astype(np.int64), (1 << x_bits) - 1)
        super().__init__(
            {
                "i": In(lanes_signature(self.x_shape, simd)),
                "o": Out(lanes_signature(self.o_shape, pe)),
            }
        )

    def _output_shape(self, weights: NDArray[np.int64], x_max: int) -> Shape:
        """The narrowest type that holds every reachable output."""
        low = np.minimum(weights, 0).sum(axis=1) * x_max
        high = np.maximum(weights, 0).sum(axis=1) * x_max
        if not self.exact:
            return unsigned(max(1, int((high - self.offsets).max()).bit_length()))
        return signed(1 + max(int(high.max()).bit_length(), int(-low.min() - 1).bit_length()))

    def _weight_words(self) -> list[int]:
        """ROM words in the order of use: neuron folds, synapse folds, then PE by SIMD codes."""
        width = dot.code_bits(self.digits)
        codes = dot.code_words(self.digits).reshape(self.neuron_folds, self.pe, self.synapse_folds, self.simd)
        steps = codes.transpose(0, 2, 1, 3).reshape(-1, self.pe * self.simd)
        return [pack(step.tolist(), width) for step in steps]

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        m.submodules.replay = replay = ReplayBuffer(
            self.x_shape, self.simd, depth=self.depth, frame=self.synapse_folds, repeats=self.neuron_folds
        )
        wiring.connect(m, wiring.flipped(self.i), replay.i)
        x = replay.o

        advance, taken = Signal(), Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            taken.eq(x.valid & x.ready),
            x.ready.eq(advance),
        ]
        code_bits = dot.code_bits(self.digits)
        weights = rom(m, "weights", self._weight_words(), code_bits * self.pe * self.simd)
        step = Signal(counter_width(self.synapse_folds * self.neuron_folds))
        following = wrapping_next(step, self.synapse_folds * self.neuron_folds)
        m.d.comb += weights.addr.eq(Mux(taken, following, step))
        synapse = Signal(counter_width(self.synapse_folds))
        with m.If(taken):
            m.d.sync += [step.eq(following), synapse.eq(wrapping_next(synapse, self.synapse_folds))]

        # Two stages behind the reading: the lanes' sum, then the accumulator, which is the output register.
        summed, first, last = Signal(), Signal(), Signal()
        with m.If(advance):
            m.d.sync += [
                summed.eq(x.valid),
                first.eq(synapse == 0),
                last.eq(synapse == self.synapse_folds - 1),
                self.o.valid.eq(summed & last),
            ]
        start = self._start_values(m, advance & summed & last)
        for lane in range(self.pe):
            at = lane * self.simd * code_bits
            codes = [weights.data[at + i * code_bits :][:code_bits] for i in range(self.simd)]
            total = dot.dot(self.digits, [x.payload[i] for i in range(self.simd)], codes)
            partial = Signal(len(total), name=f"partial_{lane}")
            accumulator = Signal(self.o_shape, name=f"accumulator_{lane}")
            m.d.comb += self.o.payload[lane].eq(accumulator)
            with m.If(advance):
                m.d.sync += partial.eq(total)
            with m.If(advance & summed):
                m.d.sync += accumulator.eq(Mux(first, start[lane], accumulator) + partial)
        return m

    def _start_values(self, m: Module, neuron_done: Signal) -> list[Signal | int]:
        """What each lane's accumulator starts from: its neuron's offset, or 0 where nobody asks for it."""
        if not self.exact:
            return [0] * self.pe
        width = self.o_shape.width
        words = [pack(row.tolist(), width) for row in self.offsets.reshape(self.neuron_folds, self.pe)]
        starts = rom(m, "offsets", words, width * self.pe)
        fold = Signal(counter_width(self.neuron_folds))
        following = wrapping_next(fold, self.neuron_folds)
        with m.If(neuron_done):
            m.d.sync += fold.eq(following)
        m.d.comb += starts.addr.eq(Mux(neuron_done, following, fold))
        return [starts.data[lane * width :][:width].as_signed() for lane in range(self.pe)]
