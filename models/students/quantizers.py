"""What Brevitas's quantizers compute, in few and vectorized steps: for training, where they set the pace.

The values are Brevitas's, bit for bit; so are the gradients, straight through the rounding (arXiv:1308.3432),
but for the last bits of a sum. Rounding works on memory that no gradient needs, hence outside of autograd.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

SMALLEST_RANGE = 2e-16
"""Brevitas's bound on the range of weights that are all zero."""

_ROUNDING = 1.5 * 2**23
"""Added to a float32 below 2^22 and taken away again, it leaves the nearest integer; of two, the even one."""


_HALVINGS = 32
"""Steps of a bisection among float32 values of at most some hundreds."""


class _Weight(torch.autograd.Function):
    """Rounding to a scale that follows the largest weight: the gradient of the scale reaches that weight."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bits: int) -> Tensor:
        """Quantize; keep what `backward` needs."""
        top, largest = 2 ** (bits - 1) - 1, weight.abs().max().clamp_(min=SMALLEST_RANGE)
        scale = _scale(largest, bits)
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


def shrink_weight(weight: Tensor, bits: int, most: int) -> tuple[Tensor, Tensor]:
    """Quantize as `quantize_weight`, and hold the sums of each channel's integers; gives the scale, too.

    Of each channel, weights (outputs, ...), neither the positive integers nor the negative ones sum up to
    more than `most` in magnitude. Where they would, every weight of that sign first comes nearer to 0 by the
    same amount, the least that is enough: a Euclidean projection onto the ball of the L1 norm, as A2Q+
    (arXiv:2401.10432) starts from, but of what is rounded. For P-bit sums of N-bit inputs A2Q+ holds
    ||q||_1 <= (2^P - 2) / (2^N - 1) and centres the weights, so that both signs have half; here each sign is
    held by itself, which lets in all that and more, and rounding is to the nearest.
    """
    with torch.no_grad():
        scale = _scale(weight.abs().max().clamp_(min=SMALLEST_RANGE), bits)
        ratio, top = weight / scale, 2 ** (bits - 1) - 1
        shape = (-1, *(1,) * (weight.ndim - 1))
        up, down = (_shrinkage(side.clamp(min=0.0).flatten(1), top, most) for side in (ratio, -ratio))
        less = torch.where(ratio > 0, up.view(shape), down.view(shape))
        magnitude = (ratio.abs() - less).clamp_(min=0.0).round_().clamp_(max=top)
        return magnitude.mul_(ratio.sign()).mul_(scale), scale


def _shrinkage(magnitudes: Tensor, top: int, most: int) -> Tensor:
    """The least that taken off `magnitudes` (outputs, weights) leaves rounded sums of `most`: (outputs,)."""

    def exceeds(less: Tensor) -> Tensor:
        left = (magnitudes - less[:, None]).clamp_(min=0.0).round_().clamp_(max=top)
        return left.sum(dim=1) > most

    low = magnitudes.new_zeros(len(magnitudes))
    over = exceeds(low)
    if not over.any():
        return low
    high = torch.where(over, magnitudes.amax(dim=1), low)  # never exceeds, whatever comes below
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = exceeds(middle)
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return high


def _scale(largest: Tensor, bits: int) -> Tensor:
    """The power of two by which the largest weight becomes an integer of `bits`."""
    return torch.pow(2.0, torch.log2(largest).ceil_()).mul_(2.0 ** (1 - bits))


class _Within(torch.autograd.Function):
    """`shrink_weight`, passed by on the way back, as rounding is: weights at 0 go on learning."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bits: int, most: int) -> Tensor:
        """Quantize within the bound."""
        return shrink_weight(weight, bits, most)[0]

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Pass it by."""
        return gradients[0], None, None


def quantize_weight_within(weight: Tensor, bits: int, most: int) -> Tensor:
    """Round within a bound, as `shrink_weight`, with gradients straight through to every weight."""
    quantized: Tensor = _Within.apply(weight, bits, most)  # type: ignore[no-untyped-call]
    return quantized


class WithinBound(nn.Module):
    """`shrink_weight` as the heart of a Brevitas weight quantizer: quantized values, scale, zero point, bits.

    Brevitas's own `Int8AccumulatorAwareZeroCenterWeightQuant` has a learned float scale a channel and wants
    quantized tensors as inputs; here scales are powers of two, one a layer.
    """

    def __init__(self, bit_width: int, most: int) -> None:
        super().__init__()
        self.bits, self.most = bit_width, most

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize."""
        quantized, scale = shrink_weight(weight, self.bits, self.most)
        return quantized, scale, weight.new_zeros(()), weight.new_tensor(float(self.bits))


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
