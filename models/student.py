"""The student: a Brevitas network that computes in float32 exactly what its integer twin computes.

Inputs, weights and activations are integers times powers of two, so float32 sums are exact up to 2^24.
"""

from typing import Any

from brevitas.nn import QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint
from torch import Tensor, nn

from models.topology import DenseLayer, Topology

INPUT_BITS = 8
# A weight scale follows the largest weight, step by step. Learned scales (PARAMETER_FROM_STATS) came out no
# better on validation at 3 and 4 bits, and their first value is state of its own. Batch-norm gives each
# channel about zero mean and unit variance and learns its gain, so a constant range is enough. Scales that
# follow the data would start by collecting statistics: state that a resumed run does not have.
FINE_RANGE, COARSE_RANGE = 4.0, 2.0


class StudentLayer(nn.Module):
    """`linear` (weights only, one scale), then batch-norm and quantizer unless it gives the logits."""

    def __init__(self, inputs: int, layer: DenseLayer) -> None:
        super().__init__()
        self.linear = QuantLinear(
            inputs,
            layer.outputs,
            bias=False,
            weight_quant=Int8WeightPerTensorFixedPoint,
            weight_bit_width=layer.weight_bits,
        )
        self.weight_bits = layer.weight_bits
        self.activation_bits = layer.activation_bits
        self.norm: nn.BatchNorm1d | None = None
        self.activation: nn.Module | None = None
        if layer.activation_bits is not None:
            self.norm = nn.BatchNorm1d(layer.outputs)
            self.activation = QuantReLU(
                act_quant=Uint8ActPerTensorFixedPoint,
                bit_width=layer.activation_bits,
                scaling_impl_type="const",
                scaling_init=activation_range(layer.activation_bits),
            )

    @property
    def activation_scale(self) -> float | None:
        """Step between two values of the activation; None for the last layer."""
        if self.activation is None:
            return None
        quantizer: Any = self.activation.act_quant
        return float(quantizer.scale())

    def forward(self, x: Tensor) -> Tensor:
        """From dequantized activations (batch, inputs) to activations or logits (batch, outputs)."""
        accumulator: Tensor = self.linear(x)
        return self.activate(accumulator)

    def activate(self, accumulator: Tensor) -> Tensor:
        """Apply batch-norm and quantizer to dequantized accumulators (batch, outputs), if there are any."""
        if self.norm is None or self.activation is None:
            return accumulator
        activation: Tensor = self.activation(self.norm(accumulator))
        return activation


class Student(nn.Module):
    """The quantized network of a topology: float (batch, inputs), 0 to 255, to logits (batch, classes)."""

    def __init__(self, topology: Topology) -> None:
        super().__init__()
        self.topology = topology
        self.input = QuantIdentity(
            act_quant=Uint8ActPerTensorFixedPoint,
            bit_width=INPUT_BITS,
            scaling_impl_type="const",
            scaling_init=float(2**INPUT_BITS),  # scale 1: uint8 passes as it is
        )
        pairs = zip(topology.shapes, topology.layers, strict=True)
        self.layers = nn.ModuleList(StudentLayer(inputs, layer) for (inputs, _), layer in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        x = self.input(x)
        for layer in self.layers:
            x = layer(x)
        return x


def activation_range(bits: int) -> float:
    """Give the upper end of an activation's range, a power of two; its scale is that over 2^bits."""
    return FINE_RANGE if bits > 2 else COARSE_RANGE
