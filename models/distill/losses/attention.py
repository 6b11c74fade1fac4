"""Attention transfer (arXiv:1612.03928)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.method import Distillation, Need, Signals
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Pairs, Shapes


@dataclass(frozen=True)
class AttentionTransfer(Distillation):
    """Match where both networks look: maps of the pixels at which features are large.

    A map Q is the sum over channels of |feature|^power, scaled to unit length over the pixels. For each pair
    of layers the term is half the squared distance of the maps, |Q_S - Q_T|^2 / 2: one minus their cosine,
    0 to 1; a mean over the batch, summed over the pairs. (The square is that of the authors' code; equation 2
    has the distance itself, which has no gradient at 0.) Channels may differ; where sizes do, the larger map
    is averaged to the smaller.

    Attributes:
        power: the larger, the more the largest features count; 2 in the paper.
        pairs: names of a student's layer and a teacher's; those that fit and have more than one pixel, if
            none are given.

    Raises:
        ConfigError: a power below 1.
    """

    method: ClassVar[str] = "attention-transfer"
    paper: ClassVar[str] = "Zagoruyko, Komodakis 2017, arXiv:1612.03928"
    whole: ClassVar[bool] = False

    power: float = 2.0
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not (self.power >= 1 and math.isfinite(self.power)):
            raise ConfigError(f"{self.method}: power is {self.power}; give a number of 1 or more")

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the pairs of layers.

        Raises:
            ConfigError: a name that is not there, or layers of one pixel: such have no map.
        """
        found = shapes.pairs(self.pairs, self.method)
        flat = [pair for pair in found if shapes.common_pixels(pair) == 1]
        if self.pairs and flat:
            raise ConfigError(
                f"{self.method}: pairs: '{flat[0][0]}' and '{flat[0][1]}' have one pixel in common, which is "
                "no map; name layers of pictures, or take hints or similarity-preserving"
            )
        kept = tuple(pair for pair in found if pair not in flat)
        if not kept:
            raise ConfigError(
                f"{self.method}: no layers of student and teacher have more than one pixel in common; "
                "take a method without maps, such as hints or similarity-preserving"
            )
        return kept

    def adapters(self, shapes: Shapes) -> nn.Module:
        """Nothing that trains: the pairs."""
        from models.distill.losses.adapters import Paired

        return Paired(self.matched(shapes))

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the distances of the maps."""
        from models.distill.losses.adapters import Paired, averaged_to_smaller, unit

        assert isinstance(adapters, Paired)
        distances = []
        for features in adapters.features(signals):
            maps = averaged_to_smaller(*(self._strength(feature) for feature in features))
            own, other = (unit(each.flatten(1)) for each in maps)
            distances.append(0.5 * (own - other).square().sum(dim=1).mean())
        return {"attention": torch.stack(distances).sum()}

    def _strength(self, feature: Tensor) -> Tensor:
        """Of each pixel, (batch, 1, height, width)."""
        return feature.abs().pow(self.power).sum(dim=1, keepdim=True)
