"""Folded matrix-vector product: PE neurons times SIMD inputs a cycle, weights in memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, PureInterface

from hw.kernels import specs
from hw.kernels.movement import ReplayBuffer
from hw.kernels.products import Schedule, lane_sums
from hw.kernels.single_port import load_port
from hw.kernels.specs.base import counter_width, pack
from hw.kernels.streams import Kernel, rom, shape, wrapping_next


class MatrixVector(Kernel[specs.MatrixVector]):
    """`weights @ x` for frames of unsigned values, `SIMD` a word in, `PE` accumulators a word out.

    Takes SF * NF cycles a frame (SF = inputs/SIMD, NF = outputs/PE), without a gap between frames: the replay
    buffer before it holds the frame in use and at least one more. Outputs come in order of neurons. Without
    `replay` nothing is kept: each frame's SF words must come NF times, one time after the other.

    Weights in single-port RAM are loaded by a port `load` before the first word comes: in a core, in reset.
    """

    def __init__(self, spec: specs.MatrixVector) -> None:
        loaded = spec.loaded
        super().__init__(spec, **({} if loaded is None else {"load": In(load_port(loaded.ram))}))

    def _input(self, m: Module) -> tuple[PureInterface, Value]:
        """The stream that gives each frame's words once for each neuron fold, and whether weights are read.

        A buffer's first word comes later than the first weights; without one the stream has to wait a cycle.
        """
        if self.spec.buffer is None:
            primed = Signal()
            m.d.sync += primed.eq(1 if self.spec.loaded is None else ~self.load.column.any())
            return self.i, primed
        m.submodules.replay = replay = ReplayBuffer(self.spec.buffer)
        wiring.connect(m, wiring.flipped(self.i), replay.i)
        return replay.o, Const(1)

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        x, primed = self._input(m)
        spec, layer = self.spec, self.spec.layer

        advance, taken = Signal(), Signal()
        m.d.comb += [taken.eq(x.valid & x.ready), x.ready.eq(advance & primed)]
        step = Signal(counter_width(layer.folded))
        following = wrapping_next(step, layer.folded)
        synapse = Signal(counter_width(layer.synapse_folds))
        with m.If(taken):
            m.d.sync += [step.eq(following), synapse.eq(wrapping_next(synapse, layer.synapse_folds))]
        schedule = Schedule(step, following, taken, advance)
        lanes = [x.payload[lane] for lane in range(layer.simd)]
        load = None if spec.loaded is None else self.load
        totals = lane_sums(m, spec.products, lanes, schedule, load)

        # Stages behind the taking: the products' own, and the lanes' sum.
        flags: Value = Cat(taken, synapse == 0, synapse == layer.synapse_folds - 1)
        for stage in range(spec.products.latency + 1):
            later = Signal(3, name=f"flags_{stage}")
            with m.If(advance):
                m.d.sync += later.eq(flags)
            flags = later
        partials = []
        for lane, total in enumerate(totals):
            partials.append(Signal(len(total), name=f"partial_{lane}"))
            with m.If(advance):
                m.d.sync += partials[lane].eq(total)
        if spec.held:
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
        start, value = self._start_values(m, advance & summed & last), shape(self.spec.value)
        for lane, partial in enumerate(partials):
            accumulator = Signal(value, name=f"accumulator_{lane}")
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
        value = shape(self.spec.value)
        for lane, partial in enumerate(partials):
            accumulator = Signal(value, name=f"accumulator_{lane}")
            total = Signal(value, name=f"total_{lane}")
            m.d.comb += total.eq(accumulator + partial)
            with m.If(advance & flags[0]):
                m.d.sync += accumulator.eq(total)
            with m.If(advance & done):
                m.d.sync += [accumulator.eq(0), self.o.payload[lane].eq(total)]

    def _start_values(self, m: Module, neuron_done: Signal) -> list[Signal | int]:
        """What each lane's accumulator starts from: its neuron's offset, or 0 where nobody asks for it."""
        pe, folds, width = self.spec.layer.pe, self.spec.layer.neuron_folds, self.spec.value.width
        if not self.spec.exact:
            return [0] * pe
        words = [pack(row.tolist(), width) for row in self.spec.offsets.reshape(folds, pe)]
        starts = rom(m, "offsets", words, width * pe)
        fold = Signal(counter_width(folds))
        following = wrapping_next(fold, folds)
        with m.If(neuron_done):
            m.d.sync += fold.eq(following)
        m.d.comb += starts.addr.eq(Mux(neuron_done, following, fold))
        return [starts.data[lane * width :][:width].as_signed() for lane in range(pe)]
