"""The frozen student as a torch network in float32: what verification calls the torch student."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.topology import INPUT
from models.students.integer import Add, Conv, Dense, Depthwise, IntegerNetwork, MaxPool, SumPool, Weighted


class FrozenLayer(nn.Module):
    """Dequantized weights, and thresholds on dequantized accumulators where there are any.

    Takes and gives images (batch, channels, height, width) of dequantized values.
    """

    weight: Tensor | None
    thresholds: Tensor | None

    def __init__(self, network: IntegerNetwork, index: int) -> None:
        super().__init__()
        layer = network.layers[index]
        self.operation = layer.operation
        weight, thresholds = None, None
        if isinstance(self.operation, Weighted):
            weight = torch.from_numpy(self.operation.weights).float() * self.operation.weight_scale
            if isinstance(self.operation, Conv):
                weight = weight.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            if isinstance(self.operation, Depthwise):
                weight = weight[:, None]
        if layer.thresholds is not None:
            thresholds = torch.from_numpy(layer.thresholds).float() * network.accumulator_scale(index)
        self.register_buffer("weight", weight)
        self.register_buffer("thresholds", thresholds)
        self.activation_scale = layer.activation_scale or 1.0

    def forward(self, *sources: Tensor) -> Tensor:
        """Compute the activations, or the logits (batch, classes, 1, 1)."""
        result = self._accumulate(*sources)
        if self.thresholds is None:
            return result
        reached = torch.empty_like(result)
        for channel, row in enumerate(self.thresholds):
            reached[:, channel] = torch.bucketize(result[:, channel].contiguous(), row, right=True).float()
        return reached * self.activation_scale

    def _accumulate(self, *sources: Tensor) -> Tensor:
        x = sources[0]
        match self.operation:
            case Dense():
                assert self.weight is not None
                flat = x.permute(0, 2, 3, 1).flatten(1) @ self.weight.T
                return flat[:, :, None, None]
            case Conv(stride=stride, padding=padding) | Depthwise(stride=stride, padding=padding):
                assert self.weight is not None
                groups = x.shape[1] if isinstance(self.operation, Depthwise) else 1
                return functional.conv2d(x, self.weight, None, stride, padding, 1, groups)
            case MaxPool(size=size, stride=stride):
                return functional.max_pool2d(x, size, stride)
            case SumPool(size=size, scale=scale):
                return functional.avg_pool2d(x, size, divisor_override=1) * scale
            case Add():
                return x + sources[1]


class FrozenStudent(nn.Module):
    """An integer network in float32 with its real scales; exact, since all scales are powers of two.

    `x` float (batch, inputs), integers 0 to 255, gives float logits (batch, values): integer logits times
    the network's `logit_scale`.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        super().__init__()
        self.shape = network.shape
        self.sources = tuple(layer.sources for layer in network.layers)
        self.layers = nn.ModuleList(FrozenLayer(network, index) for index in range(len(network.layers)))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        frames = {INPUT: x.view(len(x), *self.shape).permute(0, 3, 1, 2)}
        for index, (layer, sources) in enumerate(zip(self.layers, self.sources, strict=True)):
            frames[index] = layer(*(frames[source] for source in sources))
        return frames[len(self.sources) - 1].permute(0, 2, 3, 1).flatten(1)
