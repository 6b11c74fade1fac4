"""The features of every kernel that its LUTs and flip-flops grow with, and its memories.

A kernel may be several parts: the replay buffer of a matrix-vector layer is a part of its own, the same kind
as a FIFO. A feature counts bits of something that synthesis has to make: of adders, registers, comparators,
counters, multiplexers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import lcm
from typing import Any

from hw.core.placing import Kernel
from hw.kernels.add import Add
from hw.kernels.argmax import ArgMax
from hw.kernels.depthwise import Depthwise
from hw.kernels.fork import Fork
from hw.kernels.global_sum import GlobalSum
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.max_pool import MaxPool
from hw.kernels.reduce import Reduce
from hw.kernels.replay import ReplayBuffer
from hw.kernels.streams import counter_width
from hw.kernels.threshold import Threshold
from hw.kernels.unfolded import Unfolded
from hw.kernels.width import WidthConverter
from hw.kernels.window import SlidingWindow
from hw.mapping.cost.arithmetic import depthwise, matrix_vector, threshold, unfolded
from hw.mapping.cost.memory import Store
from hw.mapping.cost.part import Part, buffer


def _window(kernel: SlidingWindow) -> Iterator[Part]:
    layer, buffer, width = kernel.layer, kernel.buffer, kernel.o_shape.width
    loops = [loop for loop in (*buffer.taps, *buffer.windows) if loop.count > 1]
    data = layer.o_lanes * width
    padded = any(layer.padding)
    below = layer.rows > 1 and (layer.padding[2] > 0 or layer.kernel[0] > layer.shape[0])
    features = {
        "place": kernel.place_bits,
        "steps": kernel.place_bits * len(loops),
        "counter": sum(counter_width(loop.count) for loop in loops),
        "padding": data if padded else 0,
        "edges": _edges(layer.o_shape[0], layer.stride[0], layer.padding[0], layer.shape[0], layer.kernel[0])
        + _edges(layer.o_shape[1], layer.stride[1], layer.padding[1], layer.shape[1], layer.kernel[1]),
        "below": kernel.place_bits * below,
        "rows": (layer.rows - 1) * kernel.place_bits,
        "one": 1,
    }
    stores = tuple((Store(words, layer.lanes * width, writable=True), 1) for words in kernel.banks)
    yield Part("window", features, stores)


def _edges(windows: int, stride: int, before: int, size: int, kernel: int) -> int:
    """Windows that reach out of the frame, at one axis."""
    return sum(at * stride < before or at * stride - before + kernel > size for at in range(windows))


def _growing(kind: str, kernel: MaxPool | GlobalSum | Reduce, places: int, counters: Sequence[int]) -> Part:
    """Kernels whose results grow word by word."""
    lanes = len(kernel.o.payload)
    data = lanes * kernel.o_shape.width
    features = {
        "data": data,
        "kept": data * (places > 1),
        "counter": sum(counter_width(count) for count in counters if count > 1),
        "one": 1,
    }
    stores: tuple[tuple[Store, int], ...] = ()
    if places > 1:
        stores = ((Store(1 << counter_width(places), data, writable=True), 1),)
    return Part(kind, features, stores)


def _max_pool(kernel: MaxPool) -> Iterator[Part]:
    yield _growing("max-pool", kernel, kernel.places, (kernel.groups, *kernel.size, kernel.places))


def _global_sum(kernel: GlobalSum) -> Iterator[Part]:
    yield _growing("global-sum", kernel, kernel.groups, (kernel.groups, kernel.pixels))


def _reduce(kernel: Reduce) -> Iterator[Part]:
    yield _growing("max-pool", kernel, 1, (kernel.taps,))


def _width(kernel: WidthConverter) -> Iterator[Part]:
    bits = kernel.shape.width
    wide = lcm(kernel.i_lanes, kernel.o_lanes)
    if wide != kernel.i_lanes:
        yield Part(
            "widening", {"bits": wide * bits, "counter": counter_width(wide // kernel.i_lanes), "one": 1}
        )
    if wide != kernel.o_lanes:
        ratio = wide // kernel.o_lanes
        features = {
            "bits": wide * bits,
            "out": kernel.o_lanes * bits,
            "counter": counter_width(ratio),
            "one": 1,
        }
        yield Part("narrowing", features)


def _fifo(kernel: ReplayBuffer) -> Iterator[Part]:
    width = len(kernel.i.payload.as_value())
    yield buffer(width, kernel.depth, kernel.frame, kernel.repeats)


def _fork(_kernel: Fork) -> Iterator[Part]:
    yield Part("fork", {"one": 1})


def _add(kernel: Add) -> Iterator[Part]:
    yield Part("add", {"bits": kernel.lanes * kernel.o_shape.width, "one": 1})


def _argmax(kernel: ArgMax) -> Iterator[Part]:
    features = {
        "compared": kernel.pe * kernel.x_shape.width,
        "labels": kernel.pe * kernel.o_shape.width,
        "counter": counter_width(kernel.channels // kernel.pe),
        "one": 1,
    }
    yield Part("argmax", features)


_PARTS: Mapping[type, Callable[[Any], Iterator[Part]]] = {
    MatrixVector: matrix_vector,
    Unfolded: unfolded,
    Depthwise: depthwise,
    Threshold: threshold,
    SlidingWindow: _window,
    MaxPool: _max_pool,
    Reduce: _reduce,
    GlobalSum: _global_sum,
    WidthConverter: _width,
    ReplayBuffer: _fifo,
    Fork: _fork,
    Add: _add,
    ArgMax: _argmax,
}


def parts_of(kernel: Kernel) -> tuple[Part, ...]:
    """The parts of a kernel."""
    return tuple(_PARTS[type(kernel)](kernel))
