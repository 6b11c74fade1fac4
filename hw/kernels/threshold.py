"""Multi-threshold activation: how many of a channel's thresholds a value reaches, by binary search."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import memory

from hw.kernels import specs
from hw.kernels.specs.base import counter_width
from hw.kernels.streams import Kernel, rom, shape, wrapping_next


def _constant(words: list[int], index: Value, shape: Shape) -> Value:
    """`words[index]`, of a power of two of constants."""
    if len(set(words)) == 1:
        return Const(words[0], shape)
    half = len(words) // 2
    low, high = _constant(words[:half], index[:-1], shape), _constant(words[half:], index[:-1], shape)
    return Mux(index[-1], high, low)


class Threshold(Kernel[specs.Threshold]):
    """Frames of `channels` values, `PE` a word, become k-bit counts of the thresholds they reach.

    `sequential`: one comparator a lane, k cycles a word, for producers that leave that much time. Otherwise a
    pipeline of k comparators a lane takes a word a cycle. Where a word is a frame, thresholds are constants;
    where besides each channel's are a power of two apart, an addition and a shift do.
    """

    def __init__(self, spec: specs.Threshold) -> None:
        super().__init__(spec)
        self.pe, self.bits, self.folds = spec.layer.pe, spec.layer.bits, spec.folds

    def _level_words(self, lane: int, level: slice) -> list[int]:
        """The tree's nodes of `level` for each of the lane's channels, channel by channel."""
        words: list[int] = self.spec.tree[lane :: self.pe, level].reshape(-1).tolist()
        return words

    def _rom(self, m: Module, name: str, words: list[int]) -> memory.ReadPort:
        return rom(m, name, words, self.spec.threshold.width, block=self.spec.layer.block)

    def _reaches(self, value: Value, word: Value) -> Value:
        """Whether the value is at least the threshold in the ROM word; tools complain of x >= 0."""
        if isinstance(word, Const) and not self.spec.x.signed and word.value <= 0:
            return Const(1, 1)
        threshold = word.as_signed() if self.spec.threshold.signed else word.as_unsigned()
        return value >= threshold

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        if self.spec.step is not None and self.spec.shifts:
            self._shift(m, self.spec.step)
        elif self.spec.sequential and self.spec.held:
            self._search_in_place(m)
        elif self.spec.sequential:
            self._search_in_turns(m)
        else:
            self._search_in_stages(m)
        return m

    def _shift(self, m: Module, step: int) -> None:
        """Thresholds `first + n * 2**step`: the count is the distance from the first, shifted and clipped."""
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(self.i.valid)
        top = (1 << self.bits) - 1
        for lane in range(self.pe):
            distance = self.i.payload[lane] + ((1 << step) - int(self.spec.layer.thresholds[lane, 0]))
            count = Signal(signed(len(distance) + 1), name=f"count_{lane}")
            m.d.comb += count.eq(distance >> step)
            above = count[self.bits : -1].any() if len(count) > self.bits + 1 else Const(0)
            with m.If(advance):
                m.d.sync += self.o.payload[lane].eq(Mux(count < 0, 0, Mux(above, top, count[: self.bits])))

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
            value = Signal(shape(self.spec.x), name=f"value_{lane}")
            node, node_next = (Signal(self.bits, name=f"{name}_{lane}") for name in ("node", "node_next"))
            port = self._rom(m, f"thresholds_{lane}", self._level_words(lane, slice(None)))
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

    def _search_in_place(self, m: Module) -> None:
        """One step a cycle of a word that is taken in the last; between words the roots are read."""
        final, moves, primed = Signal(), Signal(), Signal()
        m.d.sync += primed.eq(1)  # a word that comes in the first cycle waits for the root
        steps = Signal(self.bits, init=1)  # one-hot place of the step, the last at the highest bit
        fold = Signal(counter_width(self.folds))
        upcoming = Signal.like(fold)
        m.d.comb += [
            final.eq(self.i.valid & steps[-1]),
            moves.eq(self.i.valid & primed & ~(final & self.o.valid & ~self.o.ready)),
            self.i.ready.eq(final & moves),
            upcoming.eq(Mux(self.i.ready, wrapping_next(fold, self.folds), fold)),
        ]
        with m.If(moves):
            m.d.sync += [steps.eq(steps.rotate_left(1)), fold.eq(upcoming)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        for lane in range(self.pe):
            node = Signal(self.bits, init=1, name=f"node_{lane}")
            following = Signal(self.bits, name=f"following_{lane}")
            port = self._rom(m, f"thresholds_{lane}", self._level_words(lane, slice(None)))
            child = Cat(self._reaches(self.i.payload[lane], port.data), node)[: self.bits]
            m.d.comb += [
                following.eq(Mux(self.i.ready, 1, Mux(moves, child, node))),
                port.addr.eq(Cat(following, upcoming)),
            ]
            m.d.sync += node.eq(following)
            with m.If(self.i.ready):
                m.d.sync += self.o.payload[lane].eq(child)

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
                value = Signal(shape(self.spec.x), name=f"value_{tag}")
                path = Signal(level, name=f"path_{tag}")
                with m.If(advance):
                    m.d.sync += [value.eq(values[lane]), path.eq(paths[lane])]
                words = self._level_words(lane, nodes)
                if self.folds == 1:
                    threshold = _constant(words, path, shape(self.spec.threshold))
                else:
                    port = self._rom(m, f"thresholds_{tag}", words)
                    m.d.comb += [port.addr.eq(Cat(paths[lane], at)), port.en.eq(advance)]
                    threshold = port.data
                values[lane] = value
                paths[lane] = Cat(self._reaches(value, threshold), path)
            valid, at = valid_next, at_next
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            for lane in range(self.pe):
                m.d.sync += self.o.payload[lane].eq(paths[lane])
