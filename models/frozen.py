"""The frozen student as a torch network in float32: what verification calls the torch student."""

import torch
from torch import Tensor, nn

from models.integer import IntegerLayer, IntegerNetwork


class FrozenLayer(nn.Module):
    """Dequantized weights, and thresholds on dequantized accumulators unless it gives the logits."""

    weight: Tensor
    thresholds: Tensor | None

    def __init__(self, layer: IntegerLayer, accumulator_scale: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(layer.weights).float() * layer.weight_scale)
        thresholds = None
        if layer.thresholds is not None:
            thresholds = torch.from_numpy(layer.thresholds).float() * accumulator_scale
        self.register_buffer("thresholds", thresholds)
        self.activation_scale = layer.activation_scale or 1.0

    def forward(self, x: Tensor) -> Tensor:
        """From dequantized activations (batch, inputs) to activations or logits (batch, outputs)."""
        accumulator = x @ self.weight.T
        if self.thresholds is None:
            return accumulator
        reached = accumulator.unsqueeze(-1) >= self.thresholds  # (batch, outputs, levels)
        return reached.sum(dim=-1).float() * self.activation_scale


class FrozenStudent(nn.Module):
    """An integer network in float32 with its real scales; exact, since all scales are powers of two.

    `x` float (batch, inputs), integers 0 to 255, gives float logits (batch, classes): integer logits times
    the network's `logit_scale`.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        super().__init__()
        pairs = zip(network.layers, network.accumulator_scales, strict=True)
        self.layers = nn.Sequential(*(FrozenLayer(layer, scale) for layer, scale in pairs))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.layers(x)
        return logits
