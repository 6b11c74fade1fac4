"""Quantizers of QONNX's dialect: what integers they give, by their own rule of rounding.

They are QONNX's `Quant` (`IntQuant`), `BipolarQuant`, `Trunc` and `MultiThreshold` (arXiv:2206.07527).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError

Floats = NDArray[np.float32]
MOST_BITS = 8
"""Of an activation: hardware compares with a threshold for every level."""


@dataclass(frozen=True, eq=False)
class Quantizer:
    """The integers behind a quantizer's values: `scale * (least + count)`, count from 0 to `levels`.

    Attributes:
        counts: from what the quantizer takes, float32 (..., channels), to counts, integers in float32.
        scale: of a step, (channels,) or one.
        least: the integer of count 0; 0 stands for the value 0.
        bipolar: whether it gives -1 and 1 and nothing between.
    """

    counts: Callable[[Floats], Floats]
    scale: NDArray[np.float64]
    least: int
    levels: int
    bipolar: bool = False

    def values(self, x: Floats) -> Floats:
        """What the quantizer gives."""
        step = 2 if self.bipolar else 1
        given: Floats = (step * self.counts(x) + np.float32(self.least)) * self.scale.astype(np.float32)
        return given


def rounding(mode: str, node: str) -> Callable[[Floats], Floats]:
    """How a mode of QONNX rounds; raises `LoweringError` for an unknown one."""
    from qonnx.custom_op.general.quant import resolve_rounding_mode

    try:
        return resolve_rounding_mode(mode)  # type: ignore[no-any-return]
    except ValueError as error:
        raise LoweringError(
            f"{node}: rounding_mode '{mode}' is none of QONNX's; export it with ROUND"
        ) from error


def integer_quantizer(
    node: str, scale: Floats, zero: float, bits: float, *, signed: bool, narrow: bool, mode: str
) -> Quantizer:
    """`Quant`: rounds `x / scale + zero`, clamped to what the bits hold."""
    from qonnx.custom_op.general.quant import max_int, min_int

    if bits == 1 and signed:
        return bipolar_quantizer(scale)
    if bits != int(bits) or bits < 1 or zero != int(zero):
        raise LoweringError(f"{node}: {bits:g} bits around {zero:g}; give whole numbers")
    low, high = int(min_int(signed, narrow, int(bits))), int(max_int(signed, narrow, int(bits)))
    rounded, single = rounding(mode, node), scale.astype(np.float32)

    def counts(x: Floats) -> Floats:
        given: Floats = rounded(np.clip(x / single + np.float32(zero), low, high)) - np.float32(low)
        return given

    return Quantizer(counts, scale.astype(np.float64), low - int(zero), high - low)


def bipolar_quantizer(scale: Floats) -> Quantizer:
    """`BipolarQuant`: `scale` for what is not negative, `-scale` for all else."""
    return Quantizer(lambda x: (x >= 0).astype(np.float32), scale.astype(np.float64), -1, 1, bipolar=True)


def truncation(
    node: str, scale: Floats, zero: float, step: float, low: float, high: float, mode: str
) -> Quantizer:
    """`Trunc`: integers of `scale` divided by a power of two, `step`, and rounded into `low` to `high`."""
    rounded, single = rounding(mode, node), scale.astype(np.float32)
    if zero / step != int(zero / step):
        raise LoweringError(f"{node}: truncates around {zero:g}, which is no multiple of {step:g}")

    def counts(x: Floats) -> Floats:
        whole = np.round(x / single + np.float32(zero)) / np.float32(step)
        given: Floats = rounded(np.clip(whole, low, high)) - np.float32(low)
        return given

    return Quantizer(counts, scale.astype(np.float64) * step, int(low - zero / step), int(high - low))


def multi_threshold(node: str, thresholds: Floats, scale: float, bias: float, *, bipolar: bool) -> Quantizer:
    """`MultiThreshold`: how many of a channel's thresholds (channels, levels) each value reaches."""
    if bipolar:
        return Quantizer(_reached(thresholds), np.array(scale / 2), -1, 1, bipolar=True)
    if bias / scale != round(bias / scale):
        raise LoweringError(f"{node}: out_bias {bias:g} is no multiple of out_scale {scale:g}")
    return Quantizer(_reached(thresholds), np.array(scale), round(bias / scale), thresholds.shape[1])


def _reached(thresholds: Floats) -> Callable[[Floats], Floats]:
    levels = thresholds.astype(np.float32)
    return lambda x: np.asarray((x[..., None] >= levels).sum(axis=-1), np.float32)


def check_width(node: str, quantizer: Quantizer) -> None:
    """Raise `LoweringError` for more levels than hardware compares with."""
    if quantizer.levels >= 1 << MOST_BITS:
        raise LoweringError(
            f"{node}: {quantizer.levels + 1:,} levels; quantize activations to {MOST_BITS} bits or fewer"
        )


def whole(values: NDArray[Any], scale: NDArray[Any], node: str) -> NDArray[np.int64]:
    """Constants as integers times their `scale`; raises `LoweringError` where they are none."""
    steps = values / scale
    integers: NDArray[np.int64] = np.rint(steps).astype(np.int64)
    if not np.abs(steps - integers).max(initial=0) <= 1e-3:
        raise LoweringError(f"{node}: its weights are not quantized; quantize them to 8 bits or fewer")
    return integers
