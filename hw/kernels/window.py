"""Sliding window: for every output pixel the pixels under the kernel, out of a circular line buffer."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory

from hw.dataflow.line_buffer import jumps
from hw.kernels import specs
from hw.kernels.specs.base import counter_width, pack
from hw.kernels.streams import Kernel, wrapping_next


class SlidingWindow(Kernel[specs.Window]):
    """Frames (height, width, channels) of `lanes` channels a word become windows, as `dataflow.Window` says.

    A word a cycle in and a word a cycle out, whichever side has more of them never waits for the other, over
    the ends of frames too. With `rows` the kernel's rows, a word holds a column of pixels, the top one in the
    lowest lanes; each row then has a RAM of its own, into which every word is written at another place.

    The walk and the depth of the buffer are `LineBuffer`'s.
    """

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        spec, buffer = self.spec, self.spec.buffer
        bits = spec.place_bits
        came = Signal(bits)  # words that came: where the next is written
        bound = Signal(bits, init=buffer.start + spec.depth & (1 << bits) - 1)  # first place not free
        read = Signal(bits, init=buffer.start + buffer.below & (1 << bits) - 1)
        pushed, popped = Signal(), Signal()
        counters, ends = self._loops(m, popped)
        padded = self._padded(counters)
        m.d.comb += [
            self.i.ready.eq(came != bound),
            pushed.eq(self.i.valid & self.i.ready),
            popped.eq(
                (~self.o.valid | self.o.ready) & (self._came(came, read, counters) | Cat(padded).all())
            ),
        ]
        with m.If(pushed):
            m.d.sync += came.eq(came + 1)
        releases, _ = buffer.releases
        within = len(buffer.taps)
        with m.If(popped):
            m.d.sync += [
                self.o.valid.eq(1),
                read.eq(read + self._step(ends, jumps((*buffer.taps, *buffer.windows), buffer.frame))),
            ]
            with m.If(ends[within]):
                m.d.sync += bound.eq(bound + self._step([Const(1), *ends[within + 1 :]], releases))
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        self._memory(m, came, pushed, read, popped, padded)
        return m

    def _loops(self, m: Module, popped: Signal) -> tuple[dict[str, Value], list[Value]]:
        """Counters of the loops; `ends[n]` is high at the last place of the n innermost ones."""
        counters: dict[str, Value] = {}
        ends: list[Value] = [Const(1)]
        for loop in (*self.spec.buffer.taps, *self.spec.buffer.windows):
            if loop.count == 1:
                counters[loop.name] = Const(0)
                ends.append(ends[-1])
                continue
            counter = Signal(counter_width(loop.count), name=loop.name)
            with m.If(popped & ends[-1]):
                m.d.sync += counter.eq(wrapping_next(counter, loop.count))
            end = Signal(name=f"{loop.name}_ends")
            m.d.comb += end.eq(ends[-1] & (counter == loop.count - 1))
            counters[loop.name] = counter
            ends.append(end)
        return counters, ends

    def _step(self, ends: Sequence[Value], steps: Sequence[int]) -> Value:
        """The step of the outermost loop that goes on: all those within are at their ends."""
        mask = (1 << self.spec.place_bits) - 1
        step: Value = Const(steps[-1] & mask, self.spec.place_bits)
        for end, inner in zip(reversed(ends[1:]), reversed(steps[:-1]), strict=True):
            step = Mux(end, step, Const(inner & mask, self.spec.place_bits))
        return step

    def _came(self, came: Signal, read: Signal, counters: dict[str, Value]) -> Value:
        """Whether the word at `read` came; where that is a row below the frame, the last one above it."""
        limit: Value = came
        if self.spec.layer.rows > 1:
            below: Value = Const(0, self.spec.place_bits)
            high, stride = self.spec.layer.kernel[0], self.spec.layer.stride[0]
            for index in range(self.spec.layer.o_shape[0]):
                missing = index * stride - self.spec.layer.padding[0] + high - self.spec.layer.shape[0]
                if missing > 0:
                    below = Mux(counters["y"] == index, missing * self.spec.buffer.row, below)
            limit = came + below
        return (read - limit)[: self.spec.place_bits][-1]

    def _padded(self, counters: dict[str, Value]) -> list[Value]:
        """For each row in a word, whether it lies in the padding."""
        layer, (high, wide) = self.spec.layer, self.spec.layer.kernel
        outside = _outside(
            counters["x"],
            counters["column"],
            (layer.o_shape[1], layer.stride[1], layer.padding[1], layer.shape[1], wide),
            self.spec.buffer.column_words,
        )
        vertical = (layer.o_shape[0], layer.stride[0], layer.padding[0], layer.shape[0], high)
        if layer.rows == 1:
            return [outside | _outside(counters["y"], counters["row"], vertical, 1)]
        return [outside | _outside(counters["y"], Const(row, 16), vertical, 1) for row in range(high)]

    def _memory(
        self, m: Module, came: Signal, pushed: Signal, read: Signal, popped: Signal, padded: list[Value]
    ) -> None:
        """A RAM for each row in a word, and the padding in place of what it gives."""
        word = self.i.payload.as_value()
        pad = pack([self.spec.layer.pad_value] * self.spec.layer.lanes, self.spec.x.width)
        for row, words in enumerate(self.spec.banks):
            m.submodules[f"ram_{row}"] = ram = memory.Memory(
                shape=len(word), depth=words, init=[], attrs={"no_rw_check": 1}
            )
            write_port, read_port = ram.write_port(), ram.read_port()
            later = (len(self.spec.banks) - 1 - row) * self.spec.buffer.row
            is_pad = Signal(name=f"pad_{row}")
            m.d.comb += [
                write_port.addr.eq(came + later),
                write_port.data.eq(word),
                write_port.en.eq(pushed),
                read_port.addr.eq(read),
                read_port.en.eq(popped),
                self.o.payload.as_value().word_select(row, len(word)).eq(Mux(is_pad, pad, read_port.data)),
            ]
            with m.If(popped):
                m.d.sync += is_pad.eq(padded[row])


def _outside(window: Value, tap: Value, axis: tuple[int, int, int, int, int], scale: int) -> Value:
    """Whether a tap of a window is outside of the frame along one axis.

    `axis`: windows, stride, padding before, size of the frame, size of the kernel; `scale`: steps of `tap` a
    pixel of the kernel. Only windows that reach out of the frame take logic.
    """
    windows, stride, before, size, kernel = axis
    terms: list[Value] = []
    for index in range(windows):
        low, high = before - index * stride, size + before - index * stride
        if low > 0:
            terms.append((window == index) & (tap < low * scale))
        if high < kernel:
            terms.append((window == index) & (tap >= max(0, high) * scale))
    return Cat(*terms).any()
