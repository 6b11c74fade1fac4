"""The features of every kernel that its LUTs and flip-flops grow with, and its memories.

A kernel may be several parts: the replay buffer of a matrix-vector layer is a part of its own, the same kind
as a FIFO. A feature counts bits of something that synthesis has to make: of adders, registers, comparators,
counters, multiplexers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import lcm
from typing import Any

from hw.kernels import specs
from hw.kernels.specs.base import Spec, counter_width
from hw.mapping.cost.arithmetic import depthwise, matrix_vector, threshold, unfolded
from hw.mapping.cost.memory import Store
from hw.mapping.cost.part import Part, buffer


def _window(spec: specs.Window) -> Iterator[Part]:
    layer, buffer, width = spec.layer, spec.buffer, spec.x.width
    loops = [loop for loop in (*buffer.taps, *buffer.windows) if loop.count > 1]
    data = layer.o_lanes * width
    padded = any(layer.padding)
    below = layer.rows > 1 and (layer.padding[2] > 0 or layer.kernel[0] > layer.shape[0])
    features = {
        "place": spec.place_bits,
        "steps": spec.place_bits * len(loops),
        "counter": sum(counter_width(loop.count) for loop in loops),
        "padding": data if padded else 0,
        "edges": _edges(layer.o_shape[0], layer.stride[0], layer.padding[0], layer.shape[0], layer.kernel[0])
        + _edges(layer.o_shape[1], layer.stride[1], layer.padding[1], layer.shape[1], layer.kernel[1]),
        "below": spec.place_bits * below,
        "rows": (layer.rows - 1) * spec.place_bits,
        "one": 1,
    }
    stores = tuple((Store(words, layer.lanes * width, writable=True), 1) for words in spec.banks)
    yield Part("window", features, stores)


def _edges(windows: int, stride: int, before: int, size: int, kernel: int) -> int:
    """Windows that reach out of the frame, at one axis."""
    return sum(at * stride < before or at * stride - before + kernel > size for at in range(windows))


def _growing(kind: str, data: int, places: int, counters: Sequence[int]) -> Part:
    """Kernels whose results of `data` bits a word grow word by word, `places` words at a time."""
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


def _max_pool(spec: specs.MaxPool) -> Iterator[Part]:
    counters = (spec.groups, *spec.layer.size, spec.places)
    yield _growing("max-pool", spec.outlet.bits, spec.places, counters)


def _global_sum(spec: specs.GlobalSum) -> Iterator[Part]:
    yield _growing("global-sum", spec.outlet.bits, spec.groups, (spec.groups, spec.layer.pixels))


def _reduce(spec: specs.Reduce) -> Iterator[Part]:
    yield _growing("max-pool", spec.outlet.bits, 1, (spec.layer.taps,))


def _width(spec: specs.WidthConverter) -> Iterator[Part]:
    wide = lcm(spec.i_lanes, spec.o_lanes)
    bits = wide * spec.value.width
    if wide != spec.i_lanes:
        yield Part("widening", {"bits": bits, "counter": counter_width(wide // spec.i_lanes), "one": 1})
    if wide != spec.o_lanes:
        counter = counter_width(wide // spec.o_lanes)
        yield Part("narrowing", {"bits": bits, "out": spec.outlet.bits, "counter": counter, "one": 1})


def _fifo(spec: specs.Buffer) -> Iterator[Part]:
    yield buffer(spec)


def _fork(_spec: specs.Fork) -> Iterator[Part]:
    yield Part("fork", {"one": 1})


def _add(spec: specs.Add) -> Iterator[Part]:
    yield Part("add", {"bits": spec.outlet.bits, "one": 1})


def _argmax(spec: specs.ArgMax) -> Iterator[Part]:
    features = {
        "compared": spec.inlets[0].bits,
        "labels": spec.layer.pe * spec.value.width,
        "counter": counter_width(spec.layer.cycles),
        "one": 1,
    }
    yield Part("argmax", features)


_PARTS: Mapping[type[Spec], Callable[[Any], Iterator[Part]]] = {
    specs.MatrixVector: matrix_vector,
    specs.Unfolded: unfolded,
    specs.Depthwise: depthwise,
    specs.Threshold: threshold,
    specs.Window: _window,
    specs.MaxPool: _max_pool,
    specs.Reduce: _reduce,
    specs.GlobalSum: _global_sum,
    specs.WidthConverter: _width,
    specs.Buffer: _fifo,
    specs.Fork: _fork,
    specs.Add: _add,
    specs.ArgMax: _argmax,
}


def parts_of(spec: Spec) -> tuple[Part, ...]:
    """The parts of a kernel."""
    return tuple(_PARTS[type(spec)](spec))
