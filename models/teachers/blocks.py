"""What convolutional teachers are stacked of. Memory is channels-last throughout, which CPUs do fastest."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from common.errors import ConfigError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Spatial:
    """Height, width and channels of what a layer gives; `series` where the samples' own width is 1."""

    height: int
    width: int
    channels: int
    series: bool

    @classmethod
    def of(cls, kind: str, input_shape: tuple[int, ...]) -> "Spatial":
        """The shape of a sample. Raises `ConfigError`: samples are neither images nor series."""
        if len(input_shape) != 3:
            raise ConfigError(
                f"teacher {kind}: samples have shape {input_shape}; it takes images (height, width, "
                "channels) and series (time, 1, channels), give an mlp"
            )
        height, width, channels = input_shape
        return cls(height, width, channels, series=width == 1)

    def pair(self, size: int) -> Pair:
        """A kernel's or pool's size on images, (size, 1) on series."""
        return (size, 1) if self.series else (size, size)

    def strided(self, stride: int) -> "Spatial":
        """What a convolution with `stride` and the padding of `convolution` gives."""
        down, across = self.pair(stride)
        return replace(self, height=-(-self.height // down), width=-(-self.width // across))


class Frames(nn.Module):
    """From flat samples (batch, features) to (batch, channels, height, width), channels-last; not a copy."""

    def __init__(self, shape: Spatial) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Only look at it in another way."""
        shape = self.shape
        return x.view(len(x), shape.height, shape.width, shape.channels).permute(0, 3, 1, 2)


class Pixels(nn.Module):
    """From (batch, channels, height, width) to the values of each pixel in a row, (batch, values)."""

    def forward(self, x: Tensor) -> Tensor:
        """Order height, width, channels."""
        return x.permute(0, 2, 3, 1).flatten(1)


class PixelMean(nn.Module):
    """From (batch, channels, height, width) to the means over all pixels, (batch, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute the means."""
        return x.mean(dim=(2, 3))


class ResidualBlock(nn.Module):
    """Two convolutions, and what came in added to them (arXiv:1512.03385)."""

    def __init__(self, shape: Spatial, outputs: int, stride: int) -> None:
        super().__init__()
        first = convolution(shape, outputs, stride=stride)
        self.out_shape = replace(shape.strided(stride), channels=outputs)
        second = convolution(self.out_shape, outputs, activation=None)
        self.body = nn.Sequential(*first, *second)
        same = shape == self.out_shape
        projection = convolution(shape, outputs, 1, stride, activation=None)
        self.shortcut: nn.Module = nn.Identity() if same else nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        """Add both sides."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Fire(nn.Module):
    """Squeeze to `squeezed` channels, expand to eight times as many (arXiv:1602.07360)."""

    def __init__(self, shape: Spatial, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(*convolution(shape, squeezed, 1))
        narrow = replace(shape, channels=squeezed)
        self.narrow = nn.Sequential(*convolution(narrow, 4 * squeezed, 1))
        self.wide = nn.Sequential(*convolution(narrow, 4 * squeezed, 3))
        self.out_shape = replace(shape, channels=8 * squeezed)

    def forward(self, x: Tensor) -> Tensor:
        """Expand in both ways, side by side."""
        x = self.squeeze(x)
        return torch.cat((self.narrow(x), self.wide(x)), dim=1)


def convolution(
    shape: Spatial,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    activation: Callable[..., nn.Module] | None = nn.ReLU,
) -> list[nn.Module]:
    """A convolution padded to the size of what comes in, batch-norm, and the activation if there is one."""
    size, padding = shape.pair(kernel), shape.pair(kernel // 2)
    if shape.series:
        padding = (kernel // 2, 0)
    layer = nn.Conv2d(shape.channels, outputs, size, shape.pair(stride), padding, bias=False)
    layers: list[nn.Module] = [layer, nn.BatchNorm2d(outputs)]
    return [*layers, activation(inplace=True)] if activation else layers


class Stack:
    """Layers one after another, and the shape of what the last gives; the first is a batch-norm."""

    def __init__(self, kind: str, shape: Spatial, activation: Callable[..., nn.Module] = nn.ReLU) -> None:
        self.kind = kind
        self.shape = shape
        self.activation = activation
        self._layers: list[nn.Module] = [Frames(shape), nn.BatchNorm2d(shape.channels)]

    @property
    def values(self) -> int:
        """Of a sample."""
        return self.shape.height * self.shape.width * self.shape.channels

    def convolution(self, outputs: int, kernel: int = 3, bare: bool = False) -> None:
        """Append one of stride 1; `bare` has neither batch-norm nor activation, but a bias."""
        if bare:
            self._layers.append(nn.Conv2d(self.shape.channels, outputs, self.shape.pair(kernel)))
        else:
            self._layers += convolution(self.shape, outputs, kernel, activation=self.activation)
        self.shape = replace(self.shape, channels=outputs)

    def pool(self, where: str) -> None:
        """Append a max-pool of two (pixels each way, or time steps).

        Raises `ConfigError`: too few are left; `where` is the key.
        """
        down, across = size = self.shape.pair(2)
        height, width = self.shape.height, self.shape.width
        if height < down or width < across:
            raise ConfigError(
                f"teacher {self.kind}: {where} pools what is only {height} by {width} there; give fewer"
            )
        self._layers.append(nn.MaxPool2d(size))
        self.shape = replace(self.shape, height=height // down, width=width // across)

    def residual(self, outputs: int, stride: int) -> None:
        """Append a residual block."""
        self._append(ResidualBlock(self.shape, outputs, stride))

    def fire(self, squeezed: int) -> None:
        """Append a fire module."""
        self._append(Fire(self.shape, squeezed))

    def _append(self, block: ResidualBlock | Fire) -> None:
        self._layers.append(block)
        self.shape = block.out_shape

    def flatten(self) -> None:
        """Append the way from pixels to values."""
        self._layers.append(nn.Flatten())
        self.shape = replace(self.shape, height=1, width=1, channels=self.values)

    def average(self) -> None:
        """Append the average of all pixels."""
        self._layers.append(PixelMean())
        self.shape = replace(self.shape, height=1, width=1)

    def dense(self, units: int) -> None:
        """Append a fully connected layer with batch-norm and activation; flatten first."""
        self._layers += [
            nn.Linear(self.values, units, bias=False),
            nn.BatchNorm1d(units),
            self.activation(inplace=True),
        ]
        self.shape = replace(self.shape, channels=units)

    def dropout(self, share: float) -> None:
        """Append dropout, unless it drops nothing."""
        if share:
            self._layers.append(nn.Dropout(share))

    def finish(self, classes: int) -> nn.Sequential:
        """End with a fully connected layer that gives the logits."""
        return self.sequential(nn.Linear(self.values, classes))

    def map(self, outputs: int) -> nn.Sequential:
        """End with a 1 by 1 convolution; its `outputs` values come pixel by pixel, row by row.

        Raises `ConfigError`: the pixels cannot share them evenly.
        """
        pixels = self.shape.height * self.shape.width
        if outputs % pixels:
            raise ConfigError(
                f"teacher {self.kind}: gives a map of {self.shape.height} by {self.shape.width}, which"
                f" {outputs} outputs do not share evenly; give more or fewer blocks"
            )
        return self.sequential(nn.Conv2d(self.shape.channels, outputs // pixels, 1), Pixels())

    def sequential(self, *last: nn.Module) -> nn.Sequential:
        """All layers, with weights in channels-last memory."""
        network = nn.Sequential(*self._layers, *last)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
