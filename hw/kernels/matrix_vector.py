"""Folded matrix-vector product: PE neurons times SIMD inputs a cycle, weights in ROM."""

from collections.abc import Callable

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, PureInterface
from numpy.typing import NDArray

from hw.dataflow.types import Memory, Multiply
from hw.kernels.dsp import DspPairs
from hw.kernels.products import DigitRows, Fold, Products, Schedule, Tables
from hw.kernels.replay import ReplayBuffer
from hw.kernels.streams import counter_width, lanes_signature, narrowest, pack, rom, wrapping_next

PRODUCTS: dict[Multiply, Callable[[Fold], Products]] = {"lut": DigitRows, "table": Tables, "dsp": DspPairs}


class MatrixVector(wiring.Component):  # type: ignore[misc]
    """`weights @ x` for frames of `inputs` unsigned values, `SIMD` a word in, `PE` accumulators a word out.

    Takes SF * NF cycles a frame (SF = inputs/SIMD, NF = outputs/PE), without a gap between frames: the replay
    buffer before it holds the frame in use and at least one more. Outputs come in order of neurons. Without
    `replay` nothing is kept: each frame's SF words must come NF times, one time after the other.

    `bias` (outputs) is added to every accumulator. With `exact` (the default) an output is the accumulator
    itself, signed where one can be negative. Without, it is the unsigned sum of digit rows, short of the
    accumulator by `offsets[neuron]`; thresholds take that up at no cost.
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
        replay: bool = True,
        bias: NDArray[np.int64] | None = None,
        multiply: Multiply = "lut",
        memory: Memory = "rom",
        held: bool = False,
    ) -> None:
        """`weights` (outputs, inputs); `buffered` words of input are kept beside the frame in use.

        `multiply`: "lut" adds rows of digits made in LUTs, "table" looks products up in block RAM, "dsp"
        multiplies, for DSP slices. With `memory` "single-port", for "lut" alone, the weights are loaded by a
        port `load` while no frame is there. `held` keeps an output in a register of its own while the next is
        summed, for thresholds that search it in place; sums are not `exact` then.
        """
        self.fold = Fold(weights.astype(np.int64), x_bits, pe, simd)
        self.pe, self.simd, self.exact, self.replay, self.held = pe, simd, exact, replay, held
        self.synapse_folds, self.neuron_folds = self.fold.synapse_folds, self.fold.neuron_folds
        self.depth = self.synapse_folds + buffered
        self.products = PRODUCTS[multiply](self.fold)
        self.bias = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
        self.offsets: NDArray[np.int64] = self.products.offsets + self.bias
        self.x_shape = unsigned(x_bits)
        self.o_shape = self._output_shape(self.fold.weights, (1 << x_bits) - 1)
        ports = {
            "i": In(lanes_signature(self.x_shape, simd)),
            "o": Out(lanes_signature(self.o_shape, pe)),
        }
        self.loaded: DigitRows | None = None
        if memory == "single-port":
            assert isinstance(self.products, DigitRows), "weights in single-port RAM are multiplied in LUTs"
            self.loaded = self.products
            ports["load"] = In(self.loaded.ram.load)
        super().__init__(ports)
        if self.loaded is not None:
            self.loaded.load = self.load

    def _output_shape(self, weights: NDArray[np.int64], x_max: int) -> Shape:
        """The narrowest type that holds every reachable output."""
        low = np.minimum(weights, 0).sum(axis=1) * x_max + self.bias
        high = np.maximum(weights, 0).sum(axis=1) * x_max + self.bias
        if not self.exact:
            return unsigned(max(1, int((high - self.offsets).max()).bit_length()))
        return narrowest(int(low.min()), int(high.max()))

    def _input(self, m: Module) -> tuple[PureInterface, Value]:
        """The stream that gives each frame's words once for each neuron fold, and whether weights are read.

        A buffer's first word comes later than the first weights; without one the stream has to wait a cycle.
        """
        if not self.replay:
            primed = Signal()
            m.d.sync += primed.eq(1 if self.loaded is None else ~self.load.column.any())
            return self.i, primed
        m.submodules.replay = replay = ReplayBuffer(
            self.x_shape, self.simd, depth=self.depth, frame=self.synapse_folds, repeats=self.neuron_folds
        )
        wiring.connect(m, wiring.flipped(self.i), replay.i)
        return replay.o, Const(1)

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        x, primed = self._input(m)

        advance, taken = Signal(), Signal()
        m.d.comb += [taken.eq(x.valid & x.ready), x.ready.eq(advance & primed)]
        step = Signal(counter_width(self.synapse_folds * self.neuron_folds))
        following = wrapping_next(step, self.synapse_folds * self.neuron_folds)
        synapse = Signal(counter_width(self.synapse_folds))
        with m.If(taken):
            m.d.sync += [step.eq(following), synapse.eq(wrapping_next(synapse, self.synapse_folds))]
        schedule = Schedule(step, following, taken, advance)
        totals = self.products.sums(m, [x.payload[lane] for lane in range(self.simd)], schedule)

        # Stages behind the taking: the products' own, and the lanes' sum.
        flags: Value = Cat(taken, synapse == 0, synapse == self.synapse_folds - 1)
        for stage in range(self.products.latency + 1):
            later = Signal(3, name=f"flags_{stage}")
            with m.If(advance):
                m.d.sync += later.eq(flags)
            flags = later
        partials = []
        for lane, total in enumerate(totals):
            partials.append(Signal(len(total), name=f"partial_{lane}"))
            with m.If(advance):
                m.d.sync += partials[lane].eq(total)
        if self.held:
            self._accumulate_apart(m, advance, flags, partials)
        else:
            self._accumulate(m, advance, flags, partials)
        return m

    def _accumulate(self, m: Module, advance: Signal, flags: Value, partials: list[Signal]) -> None:
        """The accumulators are the output register."""
        summed, first, last = flags[0], flags[1], flags[2]
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(summed & last)
        start = self._start_values(m, advance & summed & last)
        for lane, partial in enumerate(partials):
            accumulator = Signal(self.o_shape, name=f"accumulator_{lane}")
            m.d.comb += self.o.payload[lane].eq(accumulator)
            with m.If(advance & summed):
                m.d.sync += accumulator.eq(Mux(first, start[lane], accumulator) + partial)

    def _accumulate_apart(self, m: Module, advance: Signal, flags: Value, partials: list[Signal]) -> None:
        """The accumulators are reset as the last sum goes to the output register, where it waits."""
        done = Signal()
        m.d.comb += [done.eq(flags[0] & flags[2]), advance.eq(~(done & self.o.valid & ~self.o.ready))]
        with m.If(done & advance):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        for lane, partial in enumerate(partials):
            accumulator = Signal(self.o_shape, name=f"accumulator_{lane}")
            total = Signal(self.o_shape, name=f"total_{lane}")
            m.d.comb += total.eq(accumulator + partial)
            with m.If(advance & flags[0]):
                m.d.sync += accumulator.eq(total)
            with m.If(advance & done):
                m.d.sync += [accumulator.eq(0), self.o.payload[lane].eq(total)]

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
