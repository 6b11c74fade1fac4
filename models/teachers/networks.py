"""Teacher networks: multi-layer perceptrons, and convolutional networks for images and series.

A kind of network is a frozen dataclass that derives from `Architecture`; `ARCHITECTURES` names all. Samples
come flat, as uint8 values in float; the first layer of each network is a batch-norm (arXiv:1502.03167), which
scales them. Series are (time, 1, channels): what is 3 by 3 on images is 3 by 1 on them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le, Lt, MinLen

from common.settings import check_settings
from models.lazy import nn

if TYPE_CHECKING:
    from models.teachers.blocks import Stack

Width = Annotated[int, Ge(1), Le(65_536)]
"""Units or channels."""
Sizes = Annotated[tuple[Width, ...], MinLen(1)]
Blocks = Annotated[tuple[Sizes, ...], MinLen(1)]
Few = Annotated[int, Ge(1), Le(256)]
Dropout = Annotated[float, Ge(0), Lt(1)]


class Architecture(ABC):
    """The shape of a float network: a frozen dataclass whose fields are keys of the build file.

    Raises `ConfigError`: a size or share out of range.
    """

    kind: ClassVar[str]
    """Its name in the build file."""
    activation: ClassVar[str] = "ReLU"
    """Torch's name of it."""

    def __post_init__(self) -> None:
        check_settings(self, f"teacher {self.kind}")

    @abstractmethod
    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network: from values (batch, prod(input_shape)) to outputs (batch, outputs).

        Raises `ConfigError`: it does not fit samples of this shape; says where.
        """

    def stack(self, input_shape: tuple[int, ...]) -> Stack:
        """Begin a convolutional network; raises as `layers`."""
        from models.teachers.blocks import Spatial, Stack

        return Stack(self.kind, Spatial.of(self.kind, input_shape), getattr(nn, self.activation))


@dataclass(frozen=True)
class Mlp(Architecture):
    """Fully connected layers of `hidden` units, each with batch-norm and ReLU; for samples of any shape."""

    kind: ClassVar[str] = "mlp"

    hidden: Sizes

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        width = prod(input_shape)
        layers: list[nn.Module] = [nn.BatchNorm1d(width)]
        for units in self.hidden:
            layers += [nn.Linear(width, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
            width = units
        return nn.Sequential(*layers, nn.Linear(width, outputs))


@dataclass(frozen=True)
class Cnn(Architecture):
    """Blocks of 3 by 3 convolutions with batch-norm and ReLU, each block ended by a 2 by 2 max-pool.

    Attributes:
        blocks: output channels of the convolutions of each block.
        dense: units of the fully connected layers between the last block and the logits.
        dropout: share of the values before the logits that training blanks.
    """

    kind: ClassVar[str] = "cnn"

    blocks: Blocks
    dense: tuple[Width, ...] = ()
    dropout: Dropout = 0.0

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = self.stack(input_shape)
        for index, block in enumerate(self.blocks):
            for channels in block:
                stack.convolution(channels)
            stack.pool(f"blocks[{index}]")
        stack.flatten()
        for units in self.dense:
            stack.dense(units)
        stack.dropout(self.dropout)
        return stack.finish(outputs)


@dataclass(frozen=True)
class SwishCnn(Cnn):
    """The same as `Cnn` with swish, x * sigmoid(x), in place of ReLU (arXiv:1710.05941)."""

    kind: ClassVar[str] = "swish-cnn"
    activation: ClassVar[str] = "SiLU"

    blocks: Blocks = ((32, 32), (64, 64), (128, 128))
    dense: tuple[Width, ...] = (128,)


@dataclass(frozen=True)
class ResNet(Architecture):
    """A residual network for small images (arXiv:1512.03385, section 4.2).

    A 3 by 3 convolution, then stages of `blocks` residual blocks of two convolutions each; all stages but
    the first begin with stride 2. Where a block changes the shape, its shortcut is a 1 by 1 convolution
    (option B). The average of all pixels gives the logits. The paper's networks have `channels` 16, 32, 64
    and 6 * `blocks` + 2 layers.

    Attributes:
        channels: output channels of each stage; the first convolution has as many as the first stage.
        blocks: residual blocks a stage.
        stem_pool: end the first convolution with a 2 by 2 max-pool: a quarter of the work.
    """

    kind: ClassVar[str] = "resnet"

    channels: Sizes = (16, 32, 64)
    blocks: Few = 3
    stem_pool: bool = False

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = self.stack(input_shape)
        stack.convolution(self.channels[0])
        if self.stem_pool:
            stack.pool("stem_pool")
        for stage, channels in enumerate(self.channels):
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                stack.residual(channels, stride)
        stack.average()
        return stack.finish(outputs)


@dataclass(frozen=True)
class SqueezeNet(Architecture):
    """SqueezeNet (arXiv:1602.07360) for small images, with batch-norm after every convolution.

    A 3 by 3 convolution, then groups of fire modules, a 2 by 2 max-pool before each group. A fire module
    squeezes to s channels by 1 by 1 convolutions, and expands to 8 s: 4 s by 1 by 1, 4 s by 3 by 3. A 1 by 1
    convolution to the classes and the average of all pixels give the logits.

    Attributes:
        stem: output channels of the first convolution.
        squeeze: s of each fire module of each group.
        dropout: share of the values before the last convolution that training blanks; 0.5 in the paper.
    """

    kind: ClassVar[str] = "squeezenet"

    stem: Width = 64
    squeeze: Blocks = ((16, 16), (32, 32), (48, 64))
    dropout: Dropout = 0.0

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = self.stack(input_shape)
        stack.convolution(self.stem)
        for index, group in enumerate(self.squeeze):
            stack.pool(f"squeeze[{index}]")
            for squeezed in group:
                stack.fire(squeezed)
        stack.dropout(self.dropout)
        stack.convolution(outputs, kernel=1, bare=True)
        stack.average()
        return stack.sequential()


@dataclass(frozen=True)
class FullyConvolutional(Architecture):
    """Blocks of 3 by 3 convolutions, a 2 by 2 max-pool between blocks, and a 1 by 1 convolution to a map.

    For tasks whose outputs belong to places, such as detection.

    Attributes:
        blocks: output channels of the convolutions of each block.
    """

    kind: ClassVar[str] = "fully-convolutional"

    blocks: Blocks = ((16, 16), (32, 32), (64, 64))

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = self.stack(input_shape)
        for index, block in enumerate(self.blocks):
            if index:
                stack.pool(f"blocks[{index}]")
            for channels in block:
                stack.convolution(channels)
        return stack.map(outputs)


ARCHITECTURES: dict[str, type[Architecture]] = {
    each.kind: each for each in (Mlp, Cnn, ResNet, SqueezeNet, SwishCnn, FullyConvolutional)
}
