"""What Brevitas's quantizers compute, in few and vectorized steps: for training, where they set the pace.

The values are Brevitas's, bit for bit. So are the gradients, straight through the rounding (arXiv:1308.3432),
but that none flows to a scale, and that weights which are cut off, by less than one step, receive theirs too.
Rounding works on memory that no gradient needs, hence outside of autograd.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

SMALLEST_RANGE = 2e-16
"""Brevitas's bound on the range of weights that are all zero."""

_ROUNDING = 1.5 * 2**23
"""Added to a float32 below 2^22 and taken away again, it leaves the nearest integer; of two, the even one."""


def quantize_weight(weight: Tensor, bits: int) -> Tensor:
    """Round to signed, narrow-range integers of 2 to 8 bits times one scale.

    As `Int8WeightPerTensorFixedPoint`: the scale is a power of two that follows the largest weight.
    """
    quantized, top = weight.clone(), 2 ** (bits - 1) - 1
    with torch.no_grad():
        largest = weight.abs().max().clamp_(min=SMALLEST_RANGE)
        scale = torch.pow(2.0, torch.log2(largest).ceil_()).mul_(2.0 ** (1 - bits))
        quantized.div_(scale).round_().clamp_(-top, top).mul_(scale)
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
