"""Teacher networks: multi-layer perceptrons, and convolutional networks for pictures and series.

A kind of network is a frozen dataclass that derives from `Architecture`; `ARCHITECTURES` names all. Samples
come flat, as uint8 values in float; the first layer of each network is a batch-norm (arXiv:1502.03167), which
scales them. Series are (time, 1, channels): what is 3 by 3 on pictures is 3 by 1 on them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from common.errors import ConfigError
from models.teachers.blocks import Fire, ResidualBlock, Spatial, Stack


class Architecture(ABC):
    """The shape of a float network; `kind` is its name in the build file."""

    kind: ClassVar[str]

    @abstractmethod
    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network: from values (batch, prod(input_shape)) to outputs (batch, outputs).

        Raises:
            ConfigError: it does not fit samples of this shape; says where.
        """


@dataclass(frozen=True)
class Mlp(Architecture):
    """Fully connected layers of `hidden` units, each with batch-norm and ReLU; for samples of any shape.

    Raises:
        ConfigError: a layer without units.
    """

    kind: ClassVar[str] = "mlp"

    hidden: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_sizes(self.kind, "hidden", self.hidden)

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

    Raises:
        ConfigError: no blocks, a size below 1, or a dropout outside of 0 to 1.
    """

    kind: ClassVar[str] = "cnn"
    activation: ClassVar[type[nn.Module]] = nn.ReLU

    blocks: tuple[tuple[int, ...], ...]
    dense: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_blocks(self.kind, "blocks", self.blocks)
        _check_sizes(self.kind, "dense", self.dense)
        _check_dropout(self.kind, self.dropout)

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = Stack(self.kind, Spatial.of(self.kind, input_shape), self.activation)
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
    activation: ClassVar[type[nn.Module]] = nn.SiLU

    blocks: tuple[tuple[int, ...], ...] = ((32, 32), (64, 64), (128, 128))
    dense: tuple[int, ...] = (128,)


@dataclass(frozen=True)
class ResNet(Architecture):
    """A residual network for small pictures (arXiv:1512.03385, section 4.2).

    A 3 by 3 convolution, then stages of `blocks` residual blocks of two convolutions each; all stages but
    the first begin with stride 2. Where a block changes the shape, its shortcut is a 1 by 1 convolution
    (option B). The average of all pixels gives the logits. The paper's networks have `channels` 16, 32, 64
    and 6 * `blocks` + 2 layers.

    Attributes:
        channels: output channels of each stage; the first convolution has as many as the first stage.
        blocks: residual blocks a stage.
        stem_pool: end the first convolution with a 2 by 2 max-pool: a quarter of the work.

    Raises:
        ConfigError: no stages, or a size below 1.
    """

    kind: ClassVar[str] = "resnet"

    channels: tuple[int, ...] = (16, 32, 64)
    blocks: int = 3
    stem_pool: bool = False

    def __post_init__(self) -> None:
        _check_blocks(self.kind, "channels", (self.channels,))
        if self.blocks < 1:
            raise ConfigError(f"teacher resnet: blocks is {self.blocks}; give at least 1")

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = Stack(self.kind, Spatial.of(self.kind, input_shape))
        stack.convolution(self.channels[0])
        if self.stem_pool:
            stack.pool("stem_pool")
        for stage, channels in enumerate(self.channels):
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                stack.add(f"stage {stage}", ResidualBlock, channels, stride)
        stack.average()
        return stack.finish(outputs)


@dataclass(frozen=True)
class SqueezeNet(Architecture):
    """SqueezeNet (arXiv:1602.07360) for small pictures, with batch-norm after every convolution.

    A 3 by 3 convolution, then groups of fire modules, a 2 by 2 max-pool before each group. A fire module
    squeezes to s channels by 1 by 1 convolutions, and expands to 8 s: 4 s by 1 by 1, 4 s by 3 by 3. A 1 by 1
    convolution to the classes and the average of all pixels give the logits.

    Attributes:
        stem: output channels of the first convolution.
        squeeze: s of each fire module of each group.
        dropout: share of the values before the last convolution that training blanks; 0.5 in the paper.

    Raises:
        ConfigError: no groups, a size below 1, or a dropout outside of 0 to 1.
    """

    kind: ClassVar[str] = "squeezenet"

    stem: int = 64
    squeeze: tuple[tuple[int, ...], ...] = ((16, 16), (32, 32), (48, 64))
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_sizes(self.kind, "stem", (self.stem,))
        _check_blocks(self.kind, "squeeze", self.squeeze)
        _check_dropout(self.kind, self.dropout)

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = Stack(self.kind, Spatial.of(self.kind, input_shape))
        stack.convolution(self.stem)
        for index, group in enumerate(self.squeeze):
            stack.pool(f"squeeze[{index}]")
            for squeezed in group:
                stack.add(f"squeeze[{index}]", Fire, squeezed)
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

    Raises:
        ConfigError: no blocks, or a size below 1.
    """

    kind: ClassVar[str] = "fully-convolutional"

    blocks: tuple[tuple[int, ...], ...] = ((16, 16), (32, 32), (64, 64))

    def __post_init__(self) -> None:
        _check_blocks(self.kind, "blocks", self.blocks)

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
        """Make the untrained network."""
        stack = Stack(self.kind, Spatial.of(self.kind, input_shape))
        for index, block in enumerate(self.blocks):
            if index:
                stack.pool(f"blocks[{index}]")
            for channels in block:
                stack.convolution(channels)
        return stack.map(outputs)


class Teacher(nn.Module):
    """An architecture's network: from values (batch, features) in 0 to 255 to outputs (batch, outputs)."""

    def __init__(self, architecture: Architecture, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layers = architecture.layers(input_shape, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs."""
        outputs: Tensor = self.layers(x)
        return outputs


ARCHITECTURES: dict[str, type[Architecture]] = {
    each.kind: each for each in (Mlp, Cnn, ResNet, SqueezeNet, SwishCnn, FullyConvolutional)
}


def _check_sizes(kind: str, key: str, sizes: tuple[int, ...]) -> None:
    if any(size < 1 for size in sizes):
        raise ConfigError(f"teacher {kind}: {key} is {list(sizes)}; give sizes of at least 1")


def _check_blocks(kind: str, key: str, blocks: tuple[tuple[int, ...], ...]) -> None:
    if not blocks or not all(blocks):
        raise ConfigError(f"teacher {kind}: {key} has nothing in it; give at least one layer a group")
    for block in blocks:
        _check_sizes(kind, key, block)


def _check_dropout(kind: str, dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ConfigError(f"teacher {kind}: dropout is {dropout}; give 0 or more, below 1")
