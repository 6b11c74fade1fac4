"""Nodes that compute across channels or pixels, as layers of the integer network."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.dataflow import Integers
from hw.imported.layout import RESHAPING, image_of
from hw.imported.nodes import attributes, called, given_axes
from hw.imported.reading import Reading
from hw.imported.steps import scaled, shifted
from hw.imported.tensor import SAME, Tensor, check_exact, uniform
from hw.imported.windows import WindowShape, window_shape


def _weights(reading: Reading, node: Any, *ranks: int) -> tuple[Integers, Any]:
    found = reading.constants.find(node.input[1])
    if found is None:
        raise LoweringError(f"{called(node)}: multiplies two tensors; Retort's hardware has no layer for it")
    if found.values.ndim not in ranks or not found.values.size:
        raise LoweringError(f"{called(node)}: weights of {found.values.shape}; export it again")
    return found.integers(called(node))


def _bias(reading: Reading, node: Any, tensor: Tensor, factor: float = 1.0) -> Tensor:
    """A third input, added to a layer's sums."""
    if len(node.input) < 3 or not node.input[2]:
        return tensor
    found = reading.constants.find(node.input[2])
    if found is None:
        raise LoweringError(f"{called(node)}: its bias is computed; export it as a constant")
    term = np.asarray(found.values, np.float32).reshape(-1) * np.float32(factor)
    if term.size not in (1, tensor.channels):
        raise LoweringError(f"{called(node)}: a bias of {term.size} values for {tensor.channels} outputs")
    return replace(tensor, steps=(*tensor.steps, shifted(called(node), term)))


def _sums(node: Any, tensor: Tensor, weights: Integers, scales: Any, name: str, shape: Any) -> Tensor:
    """What `weights` (outputs, channels of a sum, taps), scaled by `scales` of that shape, give of integers.

    Of a tensor whose channels have scales of their own each sum must be over one channel.
    """
    outputs, inputs = weights.shape[:2]
    of_output = scales.reshape(outputs, -1)
    if (np.ptp(of_output, axis=1) > SAME * of_output.max(axis=1)).any():
        raise LoweringError(f"{called(node)}: its weights have scales within an output; give each output one")
    places = np.arange(outputs) * tensor.channels // outputs if inputs == 1 else np.zeros(outputs, int)
    if inputs > 1:
        uniform(tensor.scale, "scales", called(node))
    scale = of_output[:, 0] * tensor.scale[places]

    def spread(figures: Any) -> Any:  # of each input of a sum: (outputs, inputs) or (1, inputs)
        return figures[places][:, None] if inputs == 1 else figures[None, :inputs]

    positive, negative = np.maximum(weights, 0).sum(axis=2), np.minimum(weights, 0).sum(axis=2)
    low = (positive * spread(tensor.low) + negative * spread(tensor.high)).sum(axis=1)
    high = (positive * spread(tensor.high) + negative * spread(tensor.low)).sum(axis=1)
    check_exact(called(node), low, high)
    steps = (weights.sum(axis=2) * spread(tensor.offset / tensor.scale)).sum(axis=1)
    return Tensor(name, shape, low, high, scale, scale * steps)


def _flattened(reading: Reading, tensor: Tensor, weights: Any) -> tuple[Tensor, Any]:
    """A flat tensor of flat integers, channels last, and `weights` (..., features) in that order."""
    if len(tensor.shape) == 1:
        return tensor, weights
    height, width = tensor.shape[1:]
    name = reading.writer.flatten(tensor.name, pixels=height * width)
    order = np.arange(prod(tensor.shape)).reshape(tensor.shape).transpose(1, 2, 0).reshape(-1)
    low, high = (np.tile(each, height * width) for each in (tensor.low, tensor.high))
    scale, offset = (np.tile(each, height * width) for each in (tensor.scale, tensor.offset))
    return Tensor(name, (order.size,), low, high, scale, offset), weights[..., order]


def _dense(reading: Reading, node: Any, weights: Integers, scales: Any) -> Tensor:
    """`weights` (outputs, inputs)."""
    if len(reading.shape(node.input[0])) != 2:
        shape = reading.shape(node.input[0])
        raise LoweringError(
            f"{called(node)}: takes {shape}; flatten it before, or make it a convolution of 1 x 1"
        )
    tensor = reading.quantized(node)
    if weights.shape[1] != prod(tensor.shape):
        raise LoweringError(f"{called(node)}: weights of {weights.shape} for {prod(tensor.shape)} inputs")
    tensor, both = _flattened(reading, tensor, np.stack([weights, scales]))
    weights, scales = both[0].astype(np.int64), both[1]
    name = reading.writer.dense(tensor.name, weights)
    return _sums(node, tensor, weights[..., None], scales[..., None], name, (len(weights),))


def _mat_mul(reading: Reading, node: Any) -> Tensor:
    weights, scales = _weights(reading, node, 2)
    return _dense(reading, node, weights.T, scales.T)


def _gemm(reading: Reading, node: Any) -> Tensor:
    options = attributes(node)
    weights, scales = _weights(reading, node, 2)
    if not options.get("transB", 0):
        weights, scales = weights.T, scales.T
    if options.get("transA", 0):
        raise LoweringError(f"{called(node)}: transposes its input; export it without")
    tensor = _dense(reading, node, weights, scales)
    alpha = options.get("alpha", 1.0)
    if alpha != 1:
        tensor = replace(tensor, steps=(scaled(called(node), alpha),))
    return _bias(reading, node, tensor, options.get("beta", 1.0))


def _windows(reading: Reading, node: Any, tensor: Tensor, kernel: Any = None) -> WindowShape:
    real = reading.shape(node.input[0])
    if len(real) not in (3, 4) or len(tensor.shape) != 3:
        raise LoweringError(f"{called(node)}: takes {real}; give it (1, C, L) or (1, C, H, W)")
    return window_shape(node, tensor.shape, kernel, reading.series_axis if len(real) == 3 else None)


def _out_shape(channels: int, shape: tuple[int, ...], window: WindowShape) -> tuple[int, ...]:
    sizes = zip(shape[1:], window.kernel, window.strides, window.pads[:2], window.pads[2:], strict=True)
    return channels, *((size + begin + end - width) // step + 1 for size, width, step, begin, end in sizes)


def _convolve(
    reading: Reading, node: Any, tensor: Tensor, window: WindowShape, weights: Any, scales: Any
) -> Tensor:
    """`weights` (outputs, inputs of a group, rows, columns) over an image.

    Groups that are not depthwise become one matrix with zeros elsewhere.
    """
    if window.padded:
        tensor = reading.centred(tensor, called(node))
        low, high = np.minimum(tensor.low, 0), np.maximum(tensor.high, 0)
        tensor = replace(tensor, low=low, high=high)
    outputs, inputs, *_ = weights.shape
    groups = tensor.channels // inputs
    if (
        groups * inputs != tensor.channels
        or outputs % groups
        or groups != attributes(node).get("group", groups)
    ):
        raise LoweringError(f"{called(node)}: weights of {weights.shape} for {tensor.channels} channels")
    depthwise = inputs == 1 and outputs == tensor.channels
    if groups > 1 and not depthwise:
        whole = np.zeros((outputs, tensor.channels, *weights.shape[2:]), np.int64)
        for output in range(outputs):
            first = output // (outputs // groups) * inputs
            whole[output, first : first + inputs] = weights[output]
        kept = np.broadcast_to(scales.reshape(outputs, -1).max(axis=1)[:, None, None, None], whole.shape)
        if np.ptp(scales.reshape(outputs, -1), axis=1).any():
            kept = scales  # refused below, for what it is
        weights, scales = whole, kept
    name = reading.writer.conv(
        tensor.name, weights, strides=window.strides, pads=window.pads, group=groups if depthwise else 1
    )
    shape = _out_shape(outputs, tensor.shape, window)
    folded = weights.reshape(*weights.shape[:2], -1)
    return _sums(node, tensor, folded, scales, name, shape)


def _conv(reading: Reading, node: Any) -> Tensor:
    weights, scales = _weights(reading, node, 3, 4)
    tensor = reading.quantized(node)
    window = _windows(reading, node, tensor, weights.shape[2:])
    if weights.ndim == 3:
        rows, columns = window.kernel
        weights, scales = (each.reshape(*each.shape[:2], rows, columns) for each in (weights, scales))
    return _bias(reading, node, _convolve(reading, node, tensor, window, weights, scales))


def _average(reading: Reading, node: Any, window: Callable[[Tensor], WindowShape]) -> Tensor:
    """Sums of each channel's taps, then the division."""
    tensor = reading.quantized(node)
    taken = window(tensor)
    ones = np.ones((tensor.channels, 1, *taken.kernel), np.int64)
    summed = _convolve(reading, node, tensor, taken, ones, ones.astype(np.float64))
    return replace(summed, steps=(scaled(called(node), 1 / prod(taken.kernel)),))


def _average_pool(reading: Reading, node: Any) -> Tensor:
    def window(tensor: Tensor) -> WindowShape:
        found = _windows(reading, node, tensor)
        uncounted = found.padded and not attributes(node).get("count_include_pad", 0)
        if uncounted or found.partial:
            raise LoweringError(
                f"{called(node)}: averages over fewer values at the border; pad with count_include_pad,"
                " or choose a window that fits"
            )
        return found

    return _average(reading, node, window)


def _global_average(reading: Reading, node: Any) -> Tensor:
    def window(tensor: Tensor) -> WindowShape:
        if len(tensor.shape) != 3 or tensor.flat:
            raise LoweringError(f"{called(node)}: averages no image; Retort's hardware has no layer for it")
        height, width = tensor.shape[1:]
        return WindowShape((height, width), (1, 1), (0, 0, 0, 0))

    return _average(reading, node, window)


def _reduce_mean(reading: Reading, node: Any) -> Tensor:
    rank = len(reading.shape(node.input[0]))
    axes = given_axes(reading.model, node) or []
    if sorted(axis % rank for axis in axes) != list(range(2, rank)):
        raise LoweringError(f"{called(node)}: averages over axes {axes}, not over all pixels of each channel")
    tensor = _global_average(reading, node)
    return replace(tensor, flat=not attributes(node).get("keepdims", 1))


def _max_pool(reading: Reading, node: Any) -> Tensor:
    """Steps that do not turn a channel around can as well come after."""
    reading.tensors[node.input[0]] = tensor = reading.ascending(
        reading.thresholded(reading.tensor(node)), called(node)
    )
    window = _windows(reading, node, tensor)
    if any(step > size for size, step in zip(window.kernel, window.strides, strict=True)):
        raise LoweringError(
            f"{called(node)}: its strides are longer than its window; Retort's hardware has no layer for it"
        )
    shape, name = _out_shape(tensor.channels, tensor.shape, window), tensor.name
    if window.padded:
        tensor = reading.from_zero(tensor)
        name = reading.writer.pad(tensor.name, window.pads)
    name = reading.writer.max_pool(name, kernel=window.kernel, strides=window.strides)
    return replace(tensor, name=name, shape=shape, shared=False)


def _add(reading: Reading, node: Any) -> Tensor:
    """Two streams of one scale, or of scales that are multiples of each other; or a constant."""
    if not all(name in reading.tensors for name in node.input):
        return reading.elementwise(node)
    first, second = (reading.quantized(node, place) for place in (0, 1))
    if first.shape != second.shape or first.flat != second.flat:
        raise LoweringError(
            f"{called(node)}: adds {first.shape} and {second.shape}; Retort adds equal shapes"
        )
    scale = np.where(np.abs(first.scale) < np.abs(second.scale), first.scale, second.scale)
    first, second = (_in_steps_of(reading, each, scale, called(node)) for each in (first, second))
    name = reading.writer.add(first.name, second.name)
    low, high = first.low + second.low, first.high + second.high
    check_exact(called(node), low, high)
    offset = first.offset + second.offset
    return replace(first, name=name, low=low, high=high, offset=offset, shared=False)


def _in_steps_of(reading: Reading, tensor: Tensor, scale: Any, node: str) -> Tensor:
    ratio = tensor.scale / scale
    factors = np.rint(ratio).astype(np.int64)
    if (np.abs(ratio - factors) > SAME * np.abs(ratio)).any():
        raise LoweringError(
            f"{node}: adds values of scales {tensor.scale[0]:g} and {scale[0]:g};"
            " quantize both with one quantizer"
        )
    return tensor if (factors == 1).all() else reading.multiplied(tensor, factors, node)


def _reshaped(reading: Reading, node: Any) -> Tensor:
    """What moves no value: a flat tensor, or an axis of size 1 more or less."""
    tensor, before, after = reading.tensor(node), reading.shape(node.input[0]), reading.shape(node.output[0])
    if before == after:
        return tensor
    if len(after) == 2 and after[0] == 1:
        return replace(tensor, flat=len(tensor.shape) == 3)
    if not tensor.flat and len(after) in (3, 4) and after[:2] == before[:2]:
        shape = after[1:] if len(after) == 4 else image_of(after[1:], reading.series_axis)
        if shape == tensor.shape:
            return tensor
    raise LoweringError(
        f"{called(node)}: makes {after} of {before} within the network; Retort's hardware has no layer for it"
    )


def _transposed(reading: Reading, node: Any) -> Tensor:
    raise LoweringError(
        f"{called(node)}: transposes within the network; Retort's hardware has no layer for it"
    )


LAYERS: Mapping[str, Callable[[Reading, Any], Tensor]] = {
    "MatMul": _mat_mul,
    "Gemm": _gemm,
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _reduce_mean,
    "Add": _add,
    "Transpose": _transposed,
    **dict.fromkeys(RESHAPING, _reshaped),
}
"""By operator: what reads it."""
