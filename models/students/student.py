"""The student: a Brevitas network that computes in float32 exactly what its integer twin computes.

Inputs, weights and activations are integers times powers of two, so float32 sums are exact up to 2^24.
"""

import math
from typing import Any

import torch
from brevitas.inject import ExtendedInjector
from brevitas.nn import QuantConv2d, QuantLinear, QuantReLU
from brevitas.proxy import WeightQuantProxyFromInjector
from brevitas.quant import (
    Int8WeightPerTensorFixedPoint,
    SignedBinaryWeightPerTensorConst,
    Uint8ActPerTensorFixedPoint,
)
from torch import Tensor, nn

from common.topology import INPUT, Add, AveragePool, Conv, Dense, Depthwise, MaxPool, Step, Topology
from models.students.quantizers import (
    WithinBound,
    binarize_weight,
    quantize_activation,
    quantize_weight,
    quantize_weight_within,
)

INPUT_BITS = 8
# A weight scale follows the largest weight, step by step. Learned scales (PARAMETER_FROM_STATS) came out no
# better on validation at 3 and 4 bits, and their first value is state of its own. Batch-norm gives each
# channel about zero mean and unit variance and learns its gain, so a constant range is enough. Scales that
# follow the data would start by collecting statistics: state that a resumed run does not have.
FINE_RANGE, COARSE_RANGE = 4.0, 2.0
# Binary weights (arXiv:1602.02830) have one magnitude; batch-norm takes up what it should be.
BINARY_SCALE = 0.125


class AccumulatorAware(ExtendedInjector):  # type: ignore[misc]
    """Brevitas's description of a weight quantizer that keeps accumulators within their bits."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = WithinBound
    signed = True
    narrow_range = True


class StudentLayer(nn.Module):
    """One step of a topology: `linear` (weights only), batch-norm and quantizer, as far as it has them.

    Takes and gives images (batch, channels, height, width) in channels-last memory; a dense layer flattens
    what it takes to height, width, channels and gives (batch, outputs, 1, 1).
    """

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        self.linear = _linear(step)
        bits = None if isinstance(step.layer, MaxPool) else step.layer.activation_bits
        self.activation_bits = bits
        self.activation_scale = None if bits is None else activation_range(bits) / 2**bits
        self.norm: nn.BatchNorm2d | None = None
        self.activation: nn.Module | None = None
        if bits is not None:
            if self.linear is not None:
                self.norm = nn.BatchNorm2d(step.out_shape[2])
            self.activation = QuantReLU(
                act_quant=Uint8ActPerTensorFixedPoint,
                bit_width=bits,
                scaling_impl_type="const",
                scaling_init=activation_range(bits),
            )

    def forward(self, *sources: Tensor) -> Tensor:
        """From dequantized activations of its sources to its own activations or logits."""
        return self.activate(self.accumulate(*sources))

    def accumulate(self, *sources: Tensor) -> Tensor:
        """Compute the dequantized accumulators, before batch-norm and quantizer."""
        x = sources[0]
        match self.step.layer:
            case Dense():
                return self._product(x.permute(0, 2, 3, 1).flatten(1))[:, :, None, None]
            case MaxPool(size=size, stride=stride):
                return nn.functional.max_pool2d(x, size, stride or size)
            case AveragePool(size=size):
                size = size or self.step.in_shape[:2]
                return nn.functional.avg_pool2d(x, size, divisor_override=1) * pool_scale(size)
            case Add():
                return x + sources[1]
        return self._product(x)

    def activate(self, accumulator: Tensor) -> Tensor:
        """Apply batch-norm and quantizer to dequantized accumulators, as far as there are any."""
        if self.activation is None:
            return accumulator
        if self.norm is not None:
            accumulator = self.norm(accumulator)
        if self.training:
            assert self.activation_bits is not None and self.activation_scale is not None
            return quantize_activation(accumulator, self.activation_bits, self.activation_scale)
        activation: Tensor = self.activation(accumulator)
        return activation

    def _product(self, x: Tensor) -> Tensor:
        """Multiply by the quantized weights; in training in fewer steps than Brevitas's, to the same bits."""
        layer, linear = self.step.layer, self.linear
        assert isinstance(linear, nn.Linear | nn.Conv2d) and isinstance(layer, Dense | Conv | Depthwise)
        if not self.training:
            result: Tensor = linear(x)
            return result
        bits, weight = layer.weight_bits, linear.weight
        if bits == 1:
            weight = binarize_weight(weight, BINARY_SCALE)
        elif self.step.weight_sum is None:
            weight = quantize_weight(weight, bits)
        else:
            weight = quantize_weight_within(weight, bits, self.step.weight_sum)
        if isinstance(layer, Dense):
            return nn.functional.linear(x, weight)
        groups = self.step.in_shape[2] if isinstance(layer, Depthwise) else 1
        return nn.functional.conv2d(x, weight, None, layer.stride, layer.padding, 1, groups)


class Student(nn.Module):
    """The quantized network of a topology: float (batch, inputs), 0 to 255, to logits (batch, values)."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.topology = topology
        self.layers = nn.ModuleList(StudentLayer(step) for step in topology.steps)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        return self.values(x)[-1].permute(0, 2, 3, 1).flatten(1)

    def values(self, x: Tensor) -> list[Tensor]:
        """Compute what every layer gives, (batch, channels, height, width) each; the logits come last."""
        # Inputs are uint8 of scale 1: there is nothing to quantize.
        frames = {INPUT: x.view(len(x), *self.topology.frame).permute(0, 3, 1, 2)}
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, StudentLayer)
            frames[index] = layer(*(frames[source] for source in layer.step.sources))
        return [frames[index] for index in range(len(self.layers))]


def activation_range(bits: int) -> float:
    """Give the upper end of an activation's range, a power of two; its scale is that over 2^bits."""
    return FINE_RANGE if bits > 2 else COARSE_RANGE


def pool_scale(size: tuple[int, int]) -> float:
    """Give what a sum over `size` pixels is multiplied by: 1 over their number, up to a power of two."""
    return 2.0 ** -math.ceil(math.log2(size[0] * size[1]))


def _linear(step: Step) -> nn.Module | None:
    """Make the Brevitas layer of a step with weights; None for the others."""
    layer = step.layer
    if not isinstance(layer, Dense | Conv | Depthwise):
        return None
    quantizer: dict[str, Any] = {
        "bias": False,
        "weight_quant": Int8WeightPerTensorFixedPoint,
        "weight_bit_width": layer.weight_bits,
    }
    if step.weight_sum is not None:
        quantizer |= {"weight_quant": AccumulatorAware, "weight_most": step.weight_sum}
    if layer.weight_bits == 1:
        quantizer = {
            "bias": False,
            "weight_quant": SignedBinaryWeightPerTensorConst,
            "weight_scaling_init": BINARY_SCALE,
        }
    if isinstance(layer, Dense):
        linear: nn.Module = QuantLinear(step.inputs, layer.outputs, **quantizer)
        return linear
    channels = step.in_shape[2]
    groups = channels if isinstance(layer, Depthwise) else 1
    convolution: nn.Module = QuantConv2d(
        channels,
        step.out_shape[2],
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        groups=groups,
        **quantizer,
    )
    return convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
