"""Depthwise product: each channel by weights of its own, PE channels times SIMD taps a cycle."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value

from hw.kernels import specs
from hw.kernels.products import dot
from hw.kernels.specs.base import counter_width, pack
from hw.kernels.streams import Kernel, rom, shape, wrapping_next


class Depthwise(Kernel[specs.Depthwise]):
    """Windows of a depthwise `SlidingWindow` become accumulators: a word a cycle in, no gap between frames.

    Weights that are the same in every cycle, such as the ones of an average pool, take no ROM.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        spec, x, code_bits = self.spec, self.i, self.spec.code_bits
        pe, lanes = spec.layer.pe, spec.layer.i_lanes
        advance, taken, primed = Signal(), Signal(), Signal()
        weights = _cycled(m, "weights", spec.words, code_bits * lanes, taken)
        tap = Signal(counter_width(spec.tap_folds))
        m.d.sync += primed.eq(1)  # the ROM's first word comes a cycle after reset
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            x.ready.eq(advance & primed),
            taken.eq(x.valid & x.ready),
        ]
        # Two stages: the lanes' sums, then the accumulators, which are the output registers.
        summed, first, last = Signal(), Signal(), Signal()
        with m.If(taken):
            m.d.sync += tap.eq(wrapping_next(tap, spec.tap_folds))
        with m.If(advance):
            m.d.sync += [
                summed.eq(taken),
                first.eq(tap == 0),
                last.eq(tap == spec.tap_folds - 1),
                self.o.valid.eq(summed & last),
            ]
        start = self._start_values(m, advance & summed & last)
        for lane in range(pe):
            codes = [weights[at * code_bits :][:code_bits] for at in range(lane, lanes, pe)]
            taps = [x.payload[at] for at in range(lane, lanes, pe)]
            rows = dot(spec.digits, taps, codes)
            partial = Signal(len(rows), name=f"partial_{lane}")
            accumulator = Signal(shape(spec.value), name=f"accumulator_{lane}")
            so_far = start[lane] if spec.tap_folds == 1 else Mux(first, start[lane], accumulator)
            m.d.comb += self.o.payload[lane].eq(accumulator)
            with m.If(advance):
                m.d.sync += partial.eq(rows)
            with m.If(advance & summed):
                m.d.sync += accumulator.eq(so_far + partial)
        return m

    def _start_values(self, m: Module, done: Value) -> list[Value]:
        """What each lane's accumulator starts from: its channel's offset, or 0 where nobody asks for it."""
        spec, pe, width = self.spec, self.spec.layer.pe, self.spec.value.width
        if not spec.exact:
            return [Const(0)] * pe
        words = [pack(row.tolist(), width) for row in spec.offsets.reshape(spec.groups, pe)]
        starts = _cycled(m, "offsets", words, width * pe, done)
        return [starts[lane * width :][:width].as_signed() for lane in range(pe)]


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
