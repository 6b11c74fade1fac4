"""`[teacher]`: the ensemble of float networks that students learn from, and how it is trained."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pipeline.config.section import (
    MAX_ITEMS,
    AugmentConfig,
    BatchSize,
    Count,
    Decay,
    LearningRate,
    Section,
    Share,
    Width,
)

Sizes = Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_ITEMS)]
Blocks = Annotated[tuple[Sizes, ...], Field(min_length=1, max_length=MAX_ITEMS)]
Few = Annotated[int, Field(ge=1, le=MAX_ITEMS)]


class MlpNetwork(Section):
    """Fully connected layers of `hidden` units."""

    kind: Literal["mlp"]
    hidden: Sizes


class CnnNetwork(Section):
    """Convolutions of so many channels in `blocks`, a pool after each; then `dense` layers."""

    kind: Literal["cnn"]
    blocks: Blocks
    dense: Annotated[tuple[Width, ...], Field(max_length=MAX_ITEMS)] = ()
    dropout: Share = 0.0


class SwishCnnNetwork(Section):
    """A CNN with swish instead of ReLU."""

    kind: Literal["swish-cnn"]
    blocks: Blocks = ((32, 32), (64, 64), (128, 128))
    dense: Annotated[tuple[Width, ...], Field(max_length=MAX_ITEMS)] = (128,)
    dropout: Share = 0.0


class ResNetNetwork(Section):
    """Stages of `blocks` residual blocks of so many `channels`; `stem_pool` halves pictures before them."""

    kind: Literal["resnet"]
    channels: Sizes = (16, 32, 64)
    blocks: Few = 3
    stem_pool: bool = False


class SqueezeNetNetwork(Section):
    """Groups of fire modules that squeeze to so many channels, a pool before each group."""

    kind: Literal["squeezenet"]
    stem: Width = 64
    squeeze: Blocks = ((16, 16), (32, 32), (48, 64))
    dropout: Share = 0.0


class FullyConvolutionalNetwork(Section):
    """Blocks of convolutions, a pool between blocks, and a convolution to a map."""

    kind: Literal["fully-convolutional"]
    blocks: Blocks = ((16, 16), (32, 32), (64, 64))


Network: TypeAlias = Annotated[
    MlpNetwork | CnnNetwork | SwishCnnNetwork | ResNetNetwork | SqueezeNetNetwork | FullyConvolutionalNetwork,
    Field(discriminator="kind"),
]


class TeacherConfig(Section):
    """`[teacher]`: `members` of each of `networks`; `hidden` stands for one network of the kind mlp.

    `views` views a sample (with `mirror`, every second one its mirror image) are stored with the members'
    logits, for students. The members learn from them too, unless `augment` gives them samples that are new
    each epoch. `warmup` is the share of the steps in which the learning rate rises.
    """

    members: Few = 1
    hidden: Sizes | None = None
    networks: Annotated[tuple[Network, ...], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    epochs: Count = 16
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 3e-3
    weight_decay: Decay = 1e-2
    warmup: Share = 0.0
    label_smoothing: Share = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    views: Annotated[int, Field(ge=1, le=50)] = 1
    mirror: bool = False
    augment: AugmentConfig | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Why the section does not say which networks, if so."""
        if self.hidden is not None and self.networks is not None:
            yield "networks", "hidden is set too, and stands for an mlp; give one of them"

    @property
    def size(self) -> int:
        """Members of the whole ensemble."""
        return self.members * len(self.networks or (self.hidden,))
