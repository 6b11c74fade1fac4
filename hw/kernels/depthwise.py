"""Depthwise product: each channel by weights of its own, PE channels times SIMD taps a cycle."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.kernels import dot
from hw.kernels.streams import counter_width, lanes_signature, narrowest, pack, rom, wrapping_next


class Depthwise(wiring.Component):  # type: ignore[misc]
    """Windows of a depthwise `SlidingWindow` become accumulators: a word a cycle in, no gap between frames.

    A word in holds SIMD taps of PE channels, tap by tap. Weights that are the same in every cycle, such as
    the ones of an average pool, take no ROM. `exact`, `bias` and `offsets` are as in `MatrixVector`: without
    `exact` an output is unsigned and short of the accumulator by `offsets[channel]`.
    """

    def __init__(
        self,
        weights: NDArray[np.int64],
        *,
        x_bits: int,
        pe: int,
        simd: int = 1,
        exact: bool = True,
        bias: NDArray[np.int64] | None = None,
    ) -> None:
        """`weights` (channels, taps), `bias` (channels,)."""
        channels, taps = weights.shape
        self.pe, self.simd, self.exact = pe, simd, exact
        self.groups, self.tap_folds = channels // pe, taps // simd
        self.digits = dot.recode(weights.astype(np.int64))
        self.bias = np.zeros(channels, np.int64) if bias is None else bias.astype(np.int64)
        self.offsets: NDArray[np.int64] = dot.offset(self.digits, x_bits).sum(axis=1) + self.bias
        self.o_shape = self._output_shape(weights.astype(np.int64), (1 << x_bits) - 1)
        super().__init__(
            {
                "i": In(lanes_signature(unsigned(x_bits), pe * simd)),
                "o": Out(lanes_signature(self.o_shape, pe)),
            }
        )

    def _output_shape(self, weights: NDArray[np.int64], x_max: int) -> Shape:
        """The narrowest type that holds every reachable output."""
        low = np.minimum(weights, 0).sum(axis=1) * x_max + self.bias
        high = np.maximum(weights, 0).sum(axis=1) * x_max + self.bias
        if not self.exact:
            return unsigned(max(1, int((high - self.offsets).max()).bit_length()))
        return narrowest(int(low.min()), int(high.max()))

    def _weight_words(self) -> list[int]:
        """Words in the order of use: groups, tap folds, then SIMD by PE codes."""
        width = dot.code_bits(self.digits)
        codes = dot.code_words(self.digits).reshape(self.groups, self.pe, self.tap_folds, self.simd)
        steps = codes.transpose(0, 2, 3, 1).reshape(-1, self.simd * self.pe)
        return [pack(step.tolist(), width) for step in steps]

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        x, code_bits = self.i, dot.code_bits(self.digits)
        advance, taken, primed = Signal(), Signal(), Signal()
        weights = _cycled(m, "weights", self._weight_words(), code_bits * self.pe * self.simd, taken)
        tap = Signal(counter_width(self.tap_folds))
        m.d.sync += primed.eq(1)  # the ROM's first word comes a cycle after reset
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            x.ready.eq(advance & primed),
            taken.eq(x.valid & x.ready),
        ]
        # Two stages: the lanes' sums, then the accumulators, which are the output registers.
        summed, first, last = Signal(), Signal(), Signal()
        with m.If(taken):
            m.d.sync += tap.eq(wrapping_next(tap, self.tap_folds))
        with m.If(advance):
            m.d.sync += [
                summed.eq(taken),
                first.eq(tap == 0),
                last.eq(tap == self.tap_folds - 1),
                self.o.valid.eq(summed & last),
            ]
        start = self._start_values(m, advance & summed & last)
        for lane in range(self.pe):
            codes = [
                weights[at * code_bits :][:code_bits] for at in range(lane, self.pe * self.simd, self.pe)
            ]
            taps = [x.payload[at] for at in range(lane, self.pe * self.simd, self.pe)]
            rows = dot.dot(self.digits, taps, codes)
            partial = Signal(len(rows), name=f"partial_{lane}")
            accumulator = Signal(self.o_shape, name=f"accumulator_{lane}")
            so_far = start[lane] if self.tap_folds == 1 else Mux(first, start[lane], accumulator)
            m.d.comb += self.o.payload[lane].eq(accumulator)
            with m.If(advance):
                m.d.sync += partial.eq(rows)
            with m.If(advance & summed):
                m.d.sync += accumulator.eq(so_far + partial)
        return m

    def _start_values(self, m: Module, done: Value) -> list[Value]:
        """What each lane's accumulator starts from: its channel's offset, or 0 where nobody asks for it."""
        if not self.exact:
            return [Const(0)] * self.pe
        width = self.o_shape.width
        words = [pack(row.tolist(), width) for row in self.offsets.reshape(self.groups, self.pe)]
        starts = _cycled(m, "offsets", words, width * self.pe, done)
        return [starts[lane * width :][:width].as_signed() for lane in range(self.pe)]


def _cycled(m: Module, name: str, words: Sequence[int], width: int, step: Value) -> Value:
    """The words one after the other, round and round, the next one the cycle after `step`."""
    if len(set(words)) == 1:
        return Const(words[0], width)
    port = rom(m, name, words, width)
    at = Signal(counter_width(len(words)), name=f"{name}_at")
    following = wrapping_next(at, len(words))
    with m.If(step):
        m.d.sync += at.eq(following)
    m.d.comb += port.addr.eq(Mux(step, following, at))
    return port.data
