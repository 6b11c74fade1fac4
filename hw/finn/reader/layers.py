"""FINN's layers, one by one, as layers of the dataflow form."""

from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.dataflow import Add, ArgMax, Depthwise, GlobalSum, MatrixVector, MaxPool, Reduce, Threshold, Window
from hw.finn.reader.reading import Reader, Reading
from hw.finn.reader.streams import NO_PADDING, Stream, channel_sums, pad_value, sums


def _matrix_vector(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    stream, weights = reading.streams[node.input[0]], reading.integers(node, 1).T
    constant = np.zeros(len(weights), np.int64)
    if op.get_nodeattr("binaryXnorMode"):  # counts equal bits: of 0 and 1, where weights * x is of -1 and 1
        weights, constant = 2 * weights - 1, (1 - weights).sum(axis=1)
    vectors = stream.elements // weights.shape[1]
    layer = MatrixVector(name, weights, stream.bits, op.get_nodeattr("PE"), op.get_nodeattr("SIMD"), vectors)
    given = replace(sums(stream, weights, constant), source=reading.source_of(stream))
    if vectors > 1:
        image = stream.shape if stream.window is None else stream.window.o_shape
        given = replace(given, shape=(*image[:2], len(weights)))
    return _activate(reading, name, node, op, reading.weigh(node, op, layer, given))


def _depthwise(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    stream, weights = reading.streams[node.input[0]], reading.integers(node, 1)
    weights = weights.reshape(len(weights), -1)  # (channels, taps)
    height, width, _ = stream.image if stream.window is None else stream.window.o_shape
    given = channel_sums(stream, weights, (height, width))
    if (weights == 1).all() and _takes_all(stream):
        given = _global_sum(reading, name, stream, given, op.get_nodeattr("PE"))
    else:
        folds = op.get_nodeattr("PE"), op.get_nodeattr("SIMD")
        layer = Depthwise(name, weights, stream.bits, *folds, stream.pixels)
        given = reading.weigh(node, op, layer, replace(given, source=reading.source_of(stream)))
    return _activate(reading, name, node, op, given)


def _takes_all(stream: Stream) -> bool:
    """Whether a stream's window is the whole image."""
    window = stream.window
    return window is not None and window.kernel == stream.image[:2] and window.padding == NO_PADDING


def _global_sum(reading: Reading, name: str, stream: Stream, given: Stream, pe: int) -> Stream:
    height, width, channels = stream.image
    layer = GlobalSum(name, height * width, channels, stream.bits, pe)
    return replace(given, source=reading.add(layer, stream.source))


def _activate(reading: Reading, name: str, node: Any, op: Any, given: Stream) -> Stream:
    """Thresholds that FINN keeps in a layer with weights."""
    if op.get_nodeattr("noActivation"):
        return given
    return _thresholds(reading, f"{name}_threshold", node, op, given, 2)


def _thresholding(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    return _thresholds(reading, name, node, op, reading.streams[node.input[0]], 1)


def _thresholds(reading: Reading, name: str, node: Any, op: Any, stream: Stream, place: int) -> Stream:
    """Counts of the thresholds at a `place` of a node's inputs, which take up scale and offset."""
    values = reading.integers(node, place)
    least, beyond = stream.low[:, None], stream.high[:, None] + 1
    reached = -((stream.offset[:, None] - values) // stream.scale)  # the least that reaches each
    missing = (1 << values.shape[1].bit_length()) - 1 - values.shape[1]
    never = np.repeat(beyond, missing, axis=1)  # as many as make a whole number of bits
    levels = np.sort(np.hstack([np.clip(reached, least, beyond), never]), axis=1)
    pe, vectors, kept = op.get_nodeattr("PE"), stream.pixels, levels
    if (levels == levels[0]).all():  # a row for each lane will do for all channels
        vectors, kept = stream.elements // pe, levels[:pe]
    layer = Threshold(name, kept, pe, vectors)
    low, high = ((levels <= bound[:, None]).sum(axis=1) for bound in (stream.low, stream.high))
    bipolar = op.get_output_datatype().name == "BIPOLAR"  # -1 and 1
    offset = np.full_like(stream.offset, -1 if bipolar else op.get_nodeattr("ActVal"))
    source = reading.add(layer, stream.source)
    scale = 2 if bipolar else 1
    return Stream(source, stream.shape, low, high, scale, offset, carried_bits=layer.bits)


def _padding(reading: Reading, _name: str, node: Any, op: Any) -> Stream:
    top, left, bottom, right = op.get_nodeattr("Padding")
    return replace(reading.streams[node.input[0]], padding=(top, left, bottom, right))


def _window(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    stream = reading.streams[node.input[0]]
    if any(step != 1 for step in op.get_nodeattr("Dilation")):
        raise LoweringError(f"{node.name}: its kernel is dilated; Retort's hardware has no layer for it")
    height, width, channels = stream.image
    rows, columns = op.get_nodeattr("ConvKernelDim")
    down, across = op.get_nodeattr("Stride")
    depthwise = bool(op.get_nodeattr("depthwise"))
    fill = pad_value(stream, node.name) if stream.padding != NO_PADDING else 0
    window = Window(
        name,
        (height, width, channels),
        (rows, columns),
        gcd(op.get_nodeattr("SIMD"), channels),
        (down, across),
        stream.padding,
        depthwise=depthwise,
        pad_value=fill,
    )
    low, high = np.minimum(stream.low, fill), np.maximum(stream.high, fill)
    if stream.padding == NO_PADDING:
        low, high = stream.low, stream.high
    return replace(stream, low=low, high=high, padding=NO_PADDING, window=window)


def _pool(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    """The greatest of each channel's taps."""
    stream, pe, function = reading.streams[node.input[0]], op.get_nodeattr("PE"), op.get_nodeattr("Function")
    if stream.window is None:
        raise LoweringError(f"{node.name}: takes no windows; report FINN's version")
    if function != "MaxPool":
        raise LoweringError(f"{node.name} ({function}): Retort's hardware has no layer for it")
    window = replace(stream.window, lanes=pe, depthwise=True)
    pooled = replace(stream, shape=(*window.o_shape[:2], stream.channels), window=None)
    if window.stride == window.kernel and window.padding == NO_PADDING:
        pool = MaxPool(name, window.shape, window.kernel, pe)
        return replace(pooled, source=reading.add(pool, stream.source))
    reduce = Reduce(name, stream.channels, window.taps, window.vectors, pe)
    return replace(pooled, source=reading.add(reduce, reading.add(window, stream.source)))


def _add(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    first, second = (reading.streams.get(tensor) for tensor in node.input)
    if first is not None and reading.absorbed(node):
        return first
    if first is not None and second is None:
        return replace(first, offset=first.offset + reading.constant(node))
    if first is None or second is None or first.shape != second.shape or first.scale != second.scale:
        raise LoweringError(f"{node.name} ({node.op_type}): Retort adds streams of one shape and scale only")
    layer = Add(name, first.elements, op.get_nodeattr("PE"))
    return replace(
        first,
        source=reading.add(layer, first.source, second.source),
        low=first.low + second.low,
        high=first.high + second.high,
        offset=first.offset + second.offset,
    )


def _label_select(reading: Reading, name: str, node: Any, op: Any) -> Stream:
    stream, labels = reading.streams[node.input[0]], op.get_nodeattr("Labels")
    if op.get_nodeattr("K") != 1:
        raise LoweringError(f"{node.name}: gives {op.get_nodeattr('K')} labels; Retort's hardware gives one")
    source = reading.add(ArgMax(name, labels, op.get_nodeattr("PE")), stream.source)
    return Stream(source, (1,), np.zeros(1, np.int64), np.array([labels - 1]), 1, np.zeros(1, np.int64))


READERS: dict[str, Reader] = {
    "MVAU": _matrix_vector,
    "VVAU": _depthwise,
    "Thresholding": _thresholding,
    "FMPadding": _padding,
    "ConvolutionInputGenerator": _window,
    "Pool": _pool,
    "ElementwiseAdd": _add,
    "LabelSelect": _label_select,
}
