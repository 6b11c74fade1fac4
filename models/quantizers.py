"""What Brevitas's quantizers compute, in few and vectorized steps: for training, where they set the pace.

The values are Brevitas's, bit for bit; so are the gradients, straight through the rounding (arXiv:1308.3432),
but for the last bits of a sum. Rounding works on memory that no gradient needs, hence outside of autograd.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

SMALLEST_RANGE = 2e-16
"""Brevitas's bound on the range of weights that are all zero."""

_ROUNDING = 1.5 * 2**23
"""Added to a float32 below 2^22 and taken away again, it leaves the nearest integer; of two, the even one."""


class _Weight(torch.autograd.Function):
    """Rounding to a scale that follows the largest weight: the gradient of the scale reaches that weight."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bits: int) -> Tensor:
        """Quantize; keep what `backward` needs."""
        top, magnitude = 2 ** (bits - 1) - 1, weight.abs()
        largest = magnitude.max().clamp_(min=SMALLEST_RANGE)
        scale = torch.pow(2.0, torch.log2(largest).ceil_()).mul_(2.0 ** (1 - bits))
        quantized = (weight / scale).round_().clamp_(-top, top).mul_(scale)
        context.save_for_backward(weight, quantized, largest)
        return quantized

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass the rounding by, and add the scale's own gradient, d scale / d largest = scale / largest."""
        weight, quantized, largest = context.saved_tensors
        gradient = gradients[0]
        error = (quantized - weight).reshape(-1)
        at = weight.sign() * (weight.abs() == largest)
        share = torch.dot(error, gradient.reshape(-1)) / (largest * at.abs().sum().clamp_(min=1))
        return torch.addcmul(gradient, at, share), None


def quantize_weight(weight: Tensor, bits: int) -> Tensor:
    """Round to signed, narrow-range integers of 2 to 8 bits times one scale.

    As `Int8WeightPerTensorFixedPoint`: the scale is a power of two that follows the largest weight.
    """
    quantized: Tensor = _Weight.apply(weight, bits)  # type: ignore[no-untyped-call]
    return quantized


def binarize_weight(weight: Tensor, magnitude: float) -> Tensor:
    """Give each weight's sign, + for 0, times `magnitude`, as `SignedBinaryWeightPerTensorConst`.

    Like it, cuts `weight` itself off at the magnitude (arXiv:1511.00363).
    """
    with torch.no_grad():
        weight.clamp_(-magnitude, magnitude)
    quantized = weight * magnitude
    with torch.no_grad():
        quantized.copy_(torch.where(weight < 0, -magnitude, magnitude))
    return quantized


def quantize_activation(x: Tensor, bits: int, scale: float) -> Tensor:
    """Round to unsigned integers of `bits` times the power of two `scale`: a `QuantReLU` with that scale."""
    # The greatest float that still rounds to the top.
    activation = F.hardtanh(x, 0.0, (2**bits - 0.5) * scale * (1 - 2**-23))
    with torch.no_grad():
        activation.add_(_ROUNDING * scale).sub_(_ROUNDING * scale)
    return activation
