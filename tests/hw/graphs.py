"""Random dataflow graphs of every kind of layer, straight from the dataflow form: no training, no FINN."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    GlobalSum,
    Integers,
    Layer,
    MatrixVector,
    MaxPool,
    Reduce,
    Threshold,
    Window,
    connect,
)

SAMPLES = 64
"""Frames by whose values thresholds are chosen."""
MOST_CYCLES = 3000
"""A frame, so that the simulation of some frames takes less time than compiling."""


@dataclass(frozen=True)
class Stream:
    """What a layer gives: its place, its frames' shape and width, and values for frames of many kinds."""

    place: int
    shape: tuple[int, int, int]
    bits: int
    values: Integers

    @property
    def channels(self) -> int:
        return self.shape[2]

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]


def random_frames(rng: np.random.Generator, count: int, inputs: int) -> NDArray[np.uint8]:
    """Frames of any brightness, the first all 0, the second all 255."""
    frames = rng.integers(0, 256, (count, inputs)) * rng.random((count, 1)) ** 2
    frames[0], frames[1 % count] = 0, 255
    return frames.astype(np.uint8)


def divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def divisor(rng: np.random.Generator, number: int) -> int:
    return int(rng.choice(divisors(number)))


@dataclass
class Sketch:
    """Layers put one behind the other, and where they take from; as slow as `target`, or folded at random."""

    rng: np.random.Generator
    target: int | None = None
    layers: list[Layer] = field(default_factory=list)
    sources: list[tuple[int, ...]] = field(default_factory=list)

    def put(self, layer: Layer, shape: tuple[int, int, int], bits: int, *taken: Stream) -> Stream:
        self.layers.append(layer)
        self.sources.append(tuple(stream.place for stream in taken))
        values = layer.execute(*(stream.values for stream in taken))
        return Stream(len(self.layers) - 1, shape, bits, values)

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def weights(self, rows: int, columns: int, bits: int) -> Integers:
        """Binary ones are -1 and 1, the others of a narrow range; now and then all equal to 1."""
        if bits == 1:
            return self.rng.choice([-1, 1], (rows, columns))
        top = 2 ** (bits - 1) - 1
        return self.rng.integers(-top, top + 1, (rows, columns))

    def fold(self, outputs: int, inputs: int, vectors: int) -> tuple[int, int]:
        """PE and SIMD."""
        if self.target is None:
            return divisor(self.rng, outputs), divisor(self.rng, inputs)
        pairs = [(pe, simd) for pe in divisors(outputs) for simd in divisors(inputs)]
        self.rng.shuffle(pairs)
        cycles = [vectors * outputs * inputs // (pe * simd) for pe, simd in pairs]
        near = [(abs(self.target - each) + 9 * self.target * (each > self.target)) for each in cycles]
        pe, simd = pairs[int(np.argmin(near))]
        return int(pe), int(simd)

    def bias(self, channels: int) -> Integers | None:
        return self.rng.integers(-50, 50, channels) if self.rng.random() < 0.3 else None

    def threshold(self, taken: Stream, pe: int) -> Stream:
        """Thresholds that occur among the values; one channel may be always 0 or always at its greatest."""
        bits = int(self.rng.choice([1, 1, 2, 2, 3, 4, 8], p=[0.2, 0.1, 0.2, 0.2, 0.15, 0.1, 0.05]))
        seen = taken.values.reshape(-1, taken.channels)
        table = np.sort(self.rng.choice(seen, (1 << bits) - 1).T, axis=1)
        if taken.channels > 3:
            table[0], table[1] = seen.max() + 1, seen.min()
        return self.put(Threshold(self.name("threshold"), table, pe, taken.pixels), taken.shape, bits, taken)

    def window(self, taken: Stream, reach: int = 3, **fields: int | bool) -> tuple[Window, Stream]:
        """A window of random kernel, stride and padding that fits."""
        height, width = taken.shape[:2]
        kernel = int(self.rng.integers(1, reach + 1)), int(self.rng.integers(1, reach + 1))
        top, bottom = self.rng.integers(0, kernel[0], 2).tolist()
        left, right = self.rng.integers(0, kernel[1], 2).tolist()
        stride = int(self.rng.choice([1, 1, 2, 3])), int(self.rng.choice([1, 1, 2, 3]))
        if kernel[0] > height + top + bottom or kernel[1] > width + left + right:
            return self.window(taken, reach - 1, **fields)
        return self._window(taken, kernel, stride, (top, left, bottom, right), **fields)

    def same(self, taken: Stream, stride: int = 1) -> tuple[Window, Stream]:
        """A window that keeps height and width, or so much of them as a stride does, whatever its kernel."""
        high, wide = (int(self.rng.choice([1, 3] if size > 1 else [1])) for size in taken.shape[:2])
        y, x = high // 2, wide // 2
        return self._window(taken, (high, wide), (stride, stride), (y, x, y, x))

    def _window(
        self,
        taken: Stream,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
        **fields: int | bool,
    ) -> tuple[Window, Stream]:
        pad_value = int(self.rng.choice([0, 0, (1 << taken.bits) - 1]))
        found = Window(
            self.name("window"),
            taken.shape,
            kernel,
            int(fields.get("lanes", 1)),
            stride,
            padding,
            depthwise=bool(fields.get("depthwise", False)),
            pad_value=pad_value,
        )
        return found, self.put(found, (*found.o_shape[:2], found.o_shape[2]), taken.bits, taken)

    def matrix_vector(self, taken: Stream, outputs: int) -> tuple[Stream, int]:
        """For each pixel; with its PE."""
        weights = self.weights(outputs, taken.channels, int(self.rng.choice([1, 2, 2, 3, 4, 8])))
        pe, simd = self.fold(outputs, taken.channels, taken.pixels)
        layer = MatrixVector(self.name("mv"), weights, taken.bits, pe, simd, taken.pixels, self.bias(outputs))
        return self.put(layer, (*taken.shape[:2], outputs), 0, taken), pe

    def activated(self, taken: Stream, pe: int) -> Stream:
        """Thresholds, mostly in words like those before them."""
        return self.threshold(taken, pe if self.rng.random() < 0.9 else divisor(self.rng, taken.channels))

    def convolution(
        self, taken: Stream, outputs: int | None = None, *, same: bool = False, stride: int = 1
    ) -> Stream:
        if stride > 1 or self.rng.random() < 0.8 or not same:
            _, taken = self.same(taken, stride) if same else self.window(taken)
        return self.activated(*self.matrix_vector(taken, outputs or int(self.rng.integers(1, 7))))

    def depthwise(self, taken: Stream) -> Stream:
        pe, channels = divisor(self.rng, taken.channels), taken.channels
        window, seen = self.window(taken, lanes=pe, depthwise=True)
        weights = self.weights(channels, window.taps, int(self.rng.choice([1, 2, 4])))
        if self.rng.random() < 0.3:
            weights = np.ones_like(weights)
        layer = Depthwise(
            self.name("depthwise"),
            weights,
            taken.bits,
            pe,
            divisor(self.rng, window.taps),
            window.vectors,
            self.bias(channels),
        )
        return self.activated(self.put(layer, (*seen.shape[:2], channels), 0, seen), pe)

    def pool(self, taken: Stream) -> Stream:
        """Without overlap, or a window's greatest values."""
        height, width, channels = taken.shape
        lanes = divisor(self.rng, channels)
        if self.rng.random() < 0.5:
            size = (
                int(self.rng.integers(1, min(3, height) + 1)),
                int(self.rng.integers(1, min(3, width) + 1)),
            )
            pool = MaxPool(self.name("pool"), taken.shape, size, lanes)
            return self.put(pool, pool.o_shape, taken.bits, taken)
        window, seen = self.window(taken, lanes=lanes, depthwise=True)
        reduce = Reduce(self.name("reduce"), channels, window.taps, window.vectors, lanes)
        return self.put(reduce, (*seen.shape[:2], channels), taken.bits, seen)

    def residual(self, taken: Stream) -> Stream:
        """A body of one or two convolutions, and the stream itself or another convolution beside it.

        Where the body's first convolution steps over pixels, the other one does so, too.
        """
        channels, stride = taken.channels, int(self.rng.choice([1, 1, 2]))
        body = self.convolution(taken, channels, same=True, stride=stride)
        if self.rng.random() < 0.5:
            body = self.convolution(body, channels, same=True)
        shortcut = taken
        if stride > 1 or self.rng.random() < 0.3:
            shortcut = self.convolution(taken, channels, same=True, stride=stride)
        pair = (body, shortcut) if self.rng.random() < 0.5 else (shortcut, body)
        lanes = divisor(self.rng, channels)
        add = Add(self.name("add"), body.pixels * channels, lanes)
        total = self.put(add, body.shape, max(body.bits, shortcut.bits) + 1, *pair)
        return self.activated(total, lanes) if self.rng.random() < 0.7 else total

    def block(self, taken: Stream) -> Stream:
        chosen = self.rng.choice(
            [self.convolution, self.depthwise, self.pool, self.residual], p=[0.35, 0.2, 0.2, 0.25]
        )
        return chosen(taken)

    def classified(self, taken: Stream) -> Stream:
        """The sum of each channel, or all values as one vector; then dense layers."""
        if self.rng.random() < 0.4:
            lanes = divisor(self.rng, taken.channels)
            total = GlobalSum(self.name("sum"), taken.pixels, taken.channels, taken.bits, lanes)
            taken = self.put(total, (1, 1, taken.channels), total.bits, taken)
            if self.rng.random() < 0.5:
                taken = self.threshold(taken, lanes)
        taken = Stream(taken.place, (1, 1, taken.pixels * taken.channels), taken.bits, taken.values)
        if self.rng.random() < 0.4:
            taken = self.activated(*self.matrix_vector(taken, int(self.rng.integers(1, 9))))
        logits, pe = self.matrix_vector(taken, int(self.rng.integers(2, 6)))
        if self.rng.random() < 0.3:
            return self.put(ArgMax(self.name("argmax"), logits.channels, pe), (1, 1, 1), 0, logits)
        return logits


def convolution(
    name: str, taken: int, shape: tuple[int, int, int], fold: tuple[int, int], outputs: int = 4, **fields: Any
) -> tuple[list[Layer], list[tuple[int, ...]]]:
    """A 3 by 3 window of 8-bit values, weights and 2-bit thresholds, behind layer `taken`."""
    rng = np.random.default_rng(len(name))
    padding = fields.get("padding", (1, 1, 1, 1))
    window = Window(f"{name}_window", shape, (3, 3), 1, padding=padding)
    weights = rng.integers(-3, 4, (outputs, 9 * shape[2]))
    limits = np.sort(rng.integers(-2000, 2000, (outputs, 3)), axis=1)
    layers = [
        window,
        MatrixVector(
            name, weights, fields.get("bits", 8), *fold, window.vectors, bias=rng.integers(-9, 9, outputs)
        ),
        Threshold(f"{name}_threshold", limits // fields.get("scale", 1), fold[0], window.vectors),
    ]
    return layers, [(taken,), (taken + 1,), (taken + 2,)] if taken != INPUT else [(INPUT,), (0,), (1,)]


def residual() -> DataflowGraph:
    """A convolution, two more beside the stream itself, thresholds on the sum, its mean, a dense layer."""
    layers, sources = convolution("one", INPUT, (5, 4, 1), (2, 1))
    for name, taken in (("two", 2), ("three", 5)):
        more, links = convolution(name, taken, (5, 4, 4), (2, 2), bits=2, scale=60)
        layers, sources = layers + more, sources + links
    layers += [
        Add("add", 80, 4),
        Threshold("sum_threshold", np.tile([1, 2, 4], (4, 1)), 4, 20),
        GlobalSum("mean", 20, 4, 2, 2),
        MatrixVector("dense", np.arange(-6, 6).reshape(3, 4), 6, 1, 2),
        ArgMax("argmax", 3, 1),
    ]
    return connect((5, 4, 1), 8, layers, [*sources, (8, 2), (9,), (10,), (11,), (12,)])


def random_graph(rng: np.random.Generator) -> DataflowGraph:
    """A connected graph of pictures, series (one column or row) or plain vectors."""
    while True:
        shape = (1, 1, int(rng.integers(2, 17)))
        if picture := rng.random() < 0.85:
            channels = int(rng.choice([1, 2, 3, 4]))
            shape = (int(rng.integers(3, 9)), int(rng.integers(3, 9)), channels)
        if picture and rng.random() < 0.25:
            shape = (shape[0], 1, channels) if rng.random() < 0.7 else (1, shape[1], channels)
        sketch = Sketch(rng, int(2 ** rng.uniform(3, 11)) if rng.random() < 0.5 else None)
        frames = random_frames(rng, SAMPLES, int(np.prod(shape))).astype(np.int64)
        stream = Stream(INPUT, shape, 8, frames)
        if rng.random() < 0.1:
            stream = sketch.threshold(stream, divisor(rng, shape[2]))
        for _ in range(int(rng.integers(1, 4)) if picture else 0):
            stream = sketch.block(stream)
        sketch.classified(stream)
        graph = connect(shape if picture else shape[2:], 8, sketch.layers, sketch.sources)
        if graph.interval_bound <= MOST_CYCLES:
            return graph
