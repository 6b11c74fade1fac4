"""A schedule of one frame every `interval` cycles, and the room that words need between layers for it.

A layer works in steps of a cycle. Layers that set the pace (matrix-vector, depthwise, window) spread their
steps evenly over the interval; the others work as soon as words come. From the moments at which words are
given and their places free again follows how many of them wait at a time: with that much room, the schedule
can be kept. A core whose layers work whenever they can is never later than any schedule that its buffers
allow (self-timed execution is monotonic: Lee and Ha, GLOBECOM 1989), so it keeps the interval too.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from hw.dataflow.arithmetic import Depthwise, MatrixVector, Threshold
from hw.dataflow.graph import INPUT, Layer
from hw.dataflow.line_buffer import LineBuffer
from hw.dataflow.plumbing import ArgMax, Fork, WidthConverter
from hw.dataflow.spatial import GlobalSum, MaxPool, Reduce, Window
from hw.dataflow.types import Integers

FIFO_LATENCY = 2
"""Cycles that a FIFO keeps a word at least, beside its output register."""


@dataclass(frozen=True)
class Work:
    """What a layer does in a frame, step by step.

    Attributes:
        needs: for each step the last word of input that must be there, -1 for none.
        frees: for each word of input the step after which its place is free; it may be of a frame to come.
        gives: for each word of output the step that makes it.
        latency: cycles from a step to its word, at the most.
        early: cycles by which the word may come before that, and wait, and the layer with it.
        paced: steps spread over the interval, not taken as soon as possible.
    """

    needs: Integers
    frees: Integers
    gives: Integers
    latency: int
    paced: bool = False
    early: int = 0


def _word_by_word(gives: Integers, words: int, latency: int, paced: bool = False) -> Work:
    """A layer that takes a word a step."""
    steps = np.arange(words)
    return Work(steps, steps, gives, latency, paced)


def _matrix_vector(layer: MatrixVector, repeated: bool) -> Work:
    """Reads a vector once for each neuron fold, unless its words come `repeated`."""
    folds, words = layer.neuron_folds, layer.synapse_folds
    steps = np.arange(layer.cycles).reshape(layer.vectors, folds, words)
    gives = steps[:, :, -1].reshape(-1)
    if repeated or folds == 1:
        # Without folds the kernel is a tree of adders, a register after some of them.
        latency = 6 if layer.cycles > layer.vectors else 6 + 2 * layer.inputs.bit_length()
        return _word_by_word(gives, layer.cycles, latency, paced=True)
    read = np.arange(layer.vectors * words).reshape(layer.vectors, 1, words)
    needs = np.broadcast_to(read, steps.shape).reshape(-1)
    return Work(needs, steps[:, -1].reshape(-1), gives, 6, paced=True)


def _window(layer: Window) -> Work:
    """Places are free up to the next window's first tap, as the line buffer releases them."""
    height, width, channels = layer.shape
    (high, wide), (top, left) = layer.kernel, layer.padding[:2]
    rows = np.arange(layer.o_shape[0])[:, None] * layer.stride[0] - top + np.arange(high)
    columns = np.arange(layer.o_shape[1])[:, None] * layer.stride[1] - left + np.arange(wide)
    y, x = np.broadcast_arrays(rows[:, None, :, None], columns[None, :, None, :])
    groups = channels // layer.lanes
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    word = ((y * width + x) * groups)[..., None] + np.arange(groups)
    word = np.where(inside[..., None], word, -1)  # (rows, columns, high, wide, groups)
    if layer.depthwise:
        word = np.moveaxis(word, -1, 2)
    if layer.rows > 1:
        word = np.moveaxis(word, 2, -1)
    taps = word.reshape(layer.vectors, 1, -1, layer.rows).max(axis=3)
    needs = np.broadcast_to(taps, (layer.vectors, layer.repeats, taps.shape[2])).reshape(-1)
    return Work(needs, _releases(layer, len(needs)), np.arange(len(needs)), 5, paced=True)


def _releases(layer: Window, steps: int) -> Integers:
    """The step, at times of the next frame, after which each word's place is free."""
    buffer = LineBuffer(layer)
    (after, after_row, after_frame), _ = buffer.releases
    freed = np.full((layer.o_shape[0], layer.o_shape[1]), after)
    freed[:, -1] = after_row
    freed[-1, -1] = after_frame
    bounds = buffer.start + np.cumsum(np.tile(freed.reshape(-1), 3))
    last = np.searchsorted(bounds, np.arange(buffer.frame), side="right")
    return (last + 1) * (steps // layer.vectors) - 1


def _max_pool(layer: MaxPool) -> Work:
    (rows, columns, channels), (high, wide) = layer.o_shape, layer.size
    groups = channels // layer.lanes
    y, x = np.arange(1, rows + 1) * high - 1, np.arange(1, columns + 1) * wide - 1
    last = (y[:, None] * layer.shape[1] + x)[..., None] * groups + np.arange(groups)
    return _word_by_word(last.reshape(-1), layer.cycles, 4)


def _converter(layer: WidthConverter) -> Work:
    """A step a word of the narrower side; through their common multiple where neither divides the other."""
    steps = layer.cycles
    words_in, words_out = layer.elements // layer.i_lanes, layer.elements // layer.o_lanes
    whole = np.lcm(layer.i_lanes, layer.o_lanes)
    needs = np.arange(steps) * words_in // steps
    if whole not in (layer.i_lanes, layer.o_lanes):
        ratio = int(whole) // layer.i_lanes
        needs = (np.arange(steps) * words_in // steps // ratio + 1) * ratio - 1
    frees = np.arange(words_in) * steps // words_in
    gives = (np.arange(1, words_out + 1) * steps - 1) // words_out
    return Work(needs, frees, gives, 4, early=4)


def work_of(layer: Layer, repeated: bool) -> Work:
    """A layer's work; `repeated`: its words come once for each neuron fold."""
    words = np.arange(layer.cycles)
    match layer:
        case MatrixVector():
            return _matrix_vector(layer, repeated)
        case Window():
            return _window(layer)
        case MaxPool():
            return _max_pool(layer)
        case WidthConverter():
            return _converter(layer)
        case Depthwise():
            taps = layer.taps // layer.simd
            return _word_by_word(words[taps - 1 :: taps], len(words), 6, paced=True)
        case Reduce():
            return _word_by_word(words[layer.taps - 1 :: layer.taps], len(words), 4)
        case GlobalSum():
            return _word_by_word(words[-(layer.channels // layer.lanes) :], len(words), 4)
        case ArgMax():
            return _word_by_word(words[-1:], len(words), 2)
        case Threshold():
            return _word_by_word(words, len(words), layer.bits + 2)
    return _word_by_word(words, len(words), 0 if isinstance(layer, Fork) else 2)


def _soonest(ready: Integers, interval: int) -> Integers:
    """Steps taken in order, one a cycle, from the cycles in which each could be taken."""
    count = len(ready)
    twice = np.concatenate([ready - interval, ready]) - np.arange(-count, count)
    return (np.maximum.accumulate(twice) + np.arange(-count, count))[count:]


def _evenly(ready: Integers, interval: int) -> Integers:
    """Steps spread over the interval, beginning as soon as none comes too early."""
    even = np.arange(len(ready)) * interval // len(ready)
    return even + int((ready - even).max())


def _waiting(latest: Integers, early: int, freed: Integers, interval: int) -> int:
    """The most words at a time that were given, `early` cycles before the `latest`, and are not yet free."""
    given = latest - early
    frames, within = np.divmod(given + 1 - freed[0], interval)
    gone = frames * len(freed) + np.searchsorted(freed, within + freed[0])
    return int((np.arange(1, len(given) + 1) - gone).max())


def _consumed(work: Work, arriving: Sequence[Integers], interval: int) -> tuple[Integers, Integers]:
    """The cycles of a layer's steps, and those after which its words' places are free."""
    latest = np.maximum.reduce(arriving)
    ready = np.where(work.needs < 0, latest[0] - interval, latest[work.needs]) + 1
    steps = _evenly(ready, interval) if work.paced else _soonest(ready, interval)
    frames, within = np.divmod(work.frees, len(steps))
    return steps, np.maximum(steps[within] + frames * interval, latest + 1)


def _own_room(layer: Layer, repeated: bool) -> int:
    """Words of input that a layer has room for itself: a kernel's registers or its own buffer."""
    if isinstance(layer, MatrixVector) and not repeated and layer.neuron_folds > 1:
        return 1 << layer.synapse_folds.bit_length()
    if isinstance(layer, Window):
        buffer = LineBuffer(layer)
        return buffer.capacity(buffer.banks)
    return 1


def _depth(layer: Layer, waiting: int, own: int) -> int:
    """Depth of the FIFO before a layer at which `waiting` words wait, 0 where its `own` room is enough.

    A matrix-vector layer reads a vector in each neuron fold and frees it in the last. With room for the next
    vector beside it, a producer as slow as itself never waits for it, nor it for the producer.
    """
    if isinstance(layer, MatrixVector) and own > 1:
        waiting = max(waiting, 2 * layer.synapse_folds)
        return waiting - layer.synapse_folds if waiting > own else 0
    if waiting <= own:
        return 0
    return waiting + 1 - (LineBuffer(layer).depth if isinstance(layer, Window) else 0)


def _hurried(before: Layer, delays: Integers, interval: int) -> bool:
    """Whether a layer that stands still while its word waits, for `delays` cycles each, has no time to."""
    return isinstance(before, MaxPool | Reduce | GlobalSum) and before.cycles + int(delays.sum()) > interval


def _in_time(work: Work, interval: int) -> Integers:
    """When the words of a source that always has some come at the latest, a word a cycle."""
    steps, count = _evenly(np.zeros_like(work.needs), interval), len(work.frees)
    latest = np.full(count, 2 * interval)
    np.minimum.at(latest, work.needs[work.needs >= 0], steps[work.needs >= 0] - 1)
    twice = np.concatenate([latest, latest + interval]) - np.arange(2 * count)
    return (np.minimum.accumulate(twice[::-1])[::-1] + np.arange(2 * count))[:count]


def _depths(
    layers: Sequence[Layer], links: Sequence[tuple[int, ...]], interval: int, hasty: Set[int]
) -> list[tuple[int, ...]]:
    """`fifo_depths`, where layers of `hasty` are not paced."""
    given: list[Integers] = []
    early: list[int] = []
    meet = any(len(sources) > 1 for sources in links)
    depths: list[tuple[int, ...]] = []
    for index, (layer, sources) in enumerate(zip(layers, links, strict=True)):
        before = layers[sources[0]] if sources[0] != INPUT else None
        repeated = isinstance(before, Window) and before.repeats > 1
        work, own = work_of(layer, repeated), _own_room(layer, repeated)
        work = replace(work, paced=work.paced and index not in hasty)
        even = np.arange(len(work.frees)) * interval // len(work.frees)
        source = _in_time(work, interval) if work.paced else even
        coming = [source if place == INPUT else given[place] for place in sources]
        _, freed = _consumed(work, coming, interval)
        room = [own] * len(sources)
        for number, (place, times) in enumerate(zip(sources, coming, strict=True)):
            if own == 1 and place != INPUT and _hurried(layers[place], freed - times - 1, interval):
                room[number] = 0
        ahead = [0 if place == INPUT else early[place] for place in sources]
        waiting = [_waiting(*each, freed, interval) for each in zip(coming, ahead, strict=True)]
        found = [_depth(layer, *each) for each in zip(waiting, room, strict=True)]
        coming = [times + (FIFO_LATENCY if depth else 0) for times, depth in zip(coming, found, strict=True)]
        steps, freed = _consumed(work, coming, interval)
        waiting = [_waiting(*each, freed, interval) for each in zip(coming, ahead, strict=True)]
        again = [_depth(layer, *each) for each in zip(waiting, room, strict=True)]
        depths.append(tuple(max(pair) for pair in zip(found, again, strict=True)))
        given.append(steps[work.gives] + work.latency)
        # In a chain what is early is so all the way; where paths meet, the other one may not be.
        early.append(work.early if meet else 0)
    return depths


def _behind(layers: Sequence[Layer], links: Sequence[tuple[int, ...]], windows: Set[int]) -> set[int]:
    """The windows with the layers that compute of their words."""
    found = set(windows)
    for index, (layer, sources) in enumerate(zip(layers, links, strict=True)):
        if not isinstance(layer, Window) and sources[0] in found:
            before = layers[sources[0]]
            if isinstance(before, Window | WidthConverter):
                found.add(index)
    return found


def fifo_depths(
    layers: Sequence[Layer], links: Sequence[tuple[int, ...]], interval: int
) -> list[tuple[int, ...]]:
    """For each source of each layer the depth of the FIFO that it needs before the layer, 0 for none.

    `links` are the sources of the layers, whose words meet; every layer's work fits `interval` cycles. Where
    a window cannot be paced without a FIFO, it is tried as soon as possible; the schedule that needs the
    least values in FIFOs is taken.
    """
    paced = _depths(layers, links, interval, set())
    crowded = {index for index, layer in enumerate(layers) if isinstance(layer, Window) and any(paced[index])}
    if not crowded:
        return paced
    hasty = _depths(layers, links, interval, _behind(layers, links, crowded))

    def values(depths: list[tuple[int, ...]]) -> int:
        return sum(sum(each) * layer.i_lanes for layer, each in zip(layers, depths, strict=True))

    return min(paced, hasty, key=values)
