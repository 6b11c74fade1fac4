"""Losses that compare hidden layers of student and teacher, pair by pair."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Le

from common.errors import ConfigError
from common.settings import MOST, Positive
from models.distill.method import Distillation, Need, Signals
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import FeatureShape, Pairs, Shapes


class OnPairs(Distillation):
    """A loss that is a sum over pairs of layers: of `pairs`, or of those that fit, if none are given.

    Features are (batch, channels, height, width). It says nothing of the logits: it stands beside another
    loss.
    """

    tasks: ClassVar[frozenset[str] | None] = None
    whole: ClassVar[bool] = False
    needs = frozenset[Need]({"features"})
    term: ClassVar[str]
    """Name of its one term."""

    pairs: tuple[tuple[str, str], ...]

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the pairs of layers that it compares.

        Raises `ConfigError`: a layer that is not there, or layers that do not fit.
        """
        return shapes.pairs(self.pairs, self.method)

    def adapters(self, shapes: Shapes) -> nn.Module:
        """Make the adapters of all pairs."""
        from models.distill.losses.adapters import Paired

        pairs = self.matched(shapes)
        made = (self._adapter(shapes.student[own], shapes.teacher[other]) for own, other in pairs)
        return Paired(pairs, made)

    def terms(self, signals: Signals, adapters: Any = None) -> dict[str, Tensor]:
        """Sum the distances over the pairs."""
        both = zip(adapters, adapters.features(signals), strict=True)
        layers = [(adapter, own, other) for adapter, (own, other) in both]
        return {self.term: torch.stack(self._distances(layers)).sum()}

    def _adapter(self, student: FeatureShape, teacher: FeatureShape) -> nn.Module:
        """Make what a pair trains beside the student; nothing unless overridden."""
        return torch.nn.Identity()

    def _distances(self, layers: list[tuple[Any, Tensor, Tensor]]) -> list[Tensor]:
        """Compute the terms to sum, from each pair's adapter, the student's and the teacher's feature."""
        return [self._distance(*each) for each in layers]

    @abstractmethod
    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        """Compute the distance of one pair, a scalar."""


@dataclass(frozen=True)
class FitNetHints(OnPairs):
    """Regression from a guided layer of the student to a hint layer of the teacher.

    A 1 by 1 convolution takes the student's feature to the teacher's channels. The term is half the squared
    difference, a mean over batch, channels and pixels (a sum in the paper, equation 3). Where sizes differ,
    the larger feature is averaged to the smaller; the paper chooses a larger kernel.

    Attributes:
        pairs: names of a guided layer and its hint layer; the middle of those that fit, if none are given.
    """

    method: ClassVar[str] = "hints"
    paper: ClassVar[str] = "Romero et al. 2015, arXiv:1412.6550"
    term: ClassVar[str] = "hint"

    pairs: tuple[tuple[str, str], ...] = ()

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the guided layers with their hint layers."""
        found = super().matched(shapes)
        # Of two middles the earlier: a deep guided layer leaves the student little freedom (section 2.2).
        return found if self.pairs else (found[(len(found) - 1) // 2],)

    def _adapter(self, student: FeatureShape, teacher: FeatureShape) -> nn.Module:
        from models.distill.losses.adapters import Regressor

        return Regressor(student, teacher)

    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        return 0.5 * F.mse_loss(*adapter(own, other))


@dataclass(frozen=True)
class VariationalInformation(OnPairs):
    """Raise a lower bound of the mutual information of the teacher's features and the student's.

    The bound is the likelihood of the teacher's feature t under a Gaussian: a 1 by 1 convolution regresses
    its mean from the student's feature, its variance v is learned, one a channel. The term is the negative
    logarithm without constants, (log v + (t - mean)^2 / v) / 2, a mean over batch, channels and pixels (a sum
    in the paper, equation 4); it may fall below 0. Channels that the student cannot follow get a large
    variance, and count for little. Where sizes differ, the larger feature is averaged to the smaller.

    Attributes:
        variance: that every channel begins with.
    """

    method: ClassVar[str] = "variational-information"
    paper: ClassVar[str] = "Ahn et al. 2019, arXiv:1904.05835"
    term: ClassVar[str] = "information"

    variance: Positive = 5.0
    pairs: tuple[tuple[str, str], ...] = ()

    def _adapter(self, student: FeatureShape, teacher: FeatureShape) -> nn.Module:
        from models.distill.losses.adapters import GaussianRegressor

        return GaussianRegressor(student, teacher, self.variance)

    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        mean, target = adapter(own, other)
        variance: Tensor = adapter.variance
        loss: Tensor = 0.5 * (variance.log() + (target - mean).square() / variance).mean()
        return loss


@dataclass(frozen=True)
class AttentionTransfer(OnPairs):
    """Match where both networks look: maps of the pixels at which features are large.

    A map Q is the sum over channels of |feature|^power, scaled to unit length over the pixels. The term is
    half the squared distance of the maps, |Q_S - Q_T|^2 / 2: one minus their cosine, 0 to 1; a mean over the
    batch. (The authors' code has the square; equation 2 has the distance itself, which has no gradient at 0.)
    Channels may differ; where sizes do, the larger map is averaged to the smaller.

    Attributes:
        power: the larger, the more the largest features count; 2 in the paper.
        pairs: names of a student's layer and a teacher's; those that fit and have more than one pixel, if
            none are given.
    """

    method: ClassVar[str] = "attention-transfer"
    paper: ClassVar[str] = "Zagoruyko, Komodakis 2017, arXiv:1612.03928"
    term: ClassVar[str] = "attention"

    power: Annotated[float, Ge(1), Le(MOST)] = 2.0
    pairs: tuple[tuple[str, str], ...] = ()

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the pairs of layers that have a map: more than one pixel in common."""
        found = super().matched(shapes)
        flat = [pair for pair in found if shapes.common_pixels(pair) == 1]
        if self.pairs and flat:
            raise ConfigError(
                f"{self.method}: pairs: '{flat[0][0]}' and '{flat[0][1]}' have one pixel in common, which is "
                "no map; name layers of images, or take hints or similarity-preserving"
            )
        rest = tuple(pair for pair in found if pair not in flat)
        if not rest:
            raise ConfigError(
                f"{self.method}: no layers of student and teacher have more than one pixel in common; "
                "take a method without maps, such as hints or similarity-preserving"
            )
        return rest

    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        from models.distill.losses.adapters import averaged_to_smaller, unit

        maps = averaged_to_smaller(self._strength(own), self._strength(other))
        own, other = (unit(each.flatten(1)) for each in maps)
        return 0.5 * (own - other).square().sum(dim=1).mean()

    def _strength(self, feature: Tensor) -> Tensor:
        """Of each pixel, (batch, 1, height, width)."""
        return feature.abs().pow(self.power).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class SimilarityPreserving(OnPairs):
    """Match the similarities of a batch's samples: alike to the teacher, alike to the student.

    With Q (batch, channels * height * width) the flat features, G = Q Q^T, each row scaled to unit length.
    The term is |G_T - G_S|^2 / batch^2 over all entries (equation 4). Channels and sizes may differ.
    """

    method: ClassVar[str] = "similarity-preserving"
    paper: ClassVar[str] = "Tung, Mori 2019, arXiv:1907.09682"
    term: ClassVar[str] = "similarity"

    pairs: tuple[tuple[str, str], ...] = ()

    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        return (similarities(own) - similarities(other)).square().mean()


def similarities(feature: Tensor) -> Tensor:
    """Of all samples of a batch (batch, ...) with each other, in rows of unit length: (batch, batch)."""
    from models.distill.losses.adapters import unit

    flat = feature.flatten(1)
    return unit(flat @ flat.T)


@dataclass(frozen=True)
class FlowOfSolution(OnPairs):
    """Match how features go from layer to layer: the FSP matrices of both networks.

    The matrix of a flow from a layer with channels i to one with channels j is G[i, j], the mean over pixels
    of the products of both features; where sizes differ, the larger is max-pooled to the smaller, as in the
    paper. A flow goes from each pair of matched layers to the next. Its term is |G_T - G_S|^2, a mean over
    batch and entries (a sum over entries in the paper, equation 2; with the mean,
    github.com/HobbitLong/RepDistiller weighs it by 50). The paper's students have the teacher's channels;
    here a 1 by 1 convolution without bias takes other channels to the teacher's first.

    Attributes:
        pairs: names of a student's layer and a teacher's, two or more in the order of the flow; if none are
            given those that fit, without layers of one pixel as far as two others are there.
    """

    method: ClassVar[str] = "fsp"
    paper: ClassVar[str] = "Yim et al., CVPR 2017"
    term: ClassVar[str] = "flow"

    pairs: tuple[tuple[str, str], ...] = ()

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the layers between which features flow: two or more."""
        found = shapes.pairs(self.pairs, self.method, least=2)
        # The paper has flows between convolutions only.
        images = tuple(pair for pair in found if shapes.common_pixels(pair) > 1)
        return found if self.pairs or len(images) < 2 else images

    def _adapter(self, student: FeatureShape, teacher: FeatureShape) -> nn.Module:
        own, other = student[0], teacher[0]
        return torch.nn.Identity() if own == other else torch.nn.Conv2d(own, other, 1, bias=False)

    def _distances(self, layers: list[tuple[Any, Tensor, Tensor]]) -> list[Tensor]:
        found = []
        for (adapt_from, own_from, other_from), (adapt_to, own_to, other_to) in pairwise(layers):
            # Pooled first: fewer pixels to adapt, and as the teacher's features are.
            own_from, own_to = _pooled_to_smaller(own_from, own_to)
            own = fsp_matrix(adapt_from(own_from), adapt_to(own_to))
            other = fsp_matrix(*_pooled_to_smaller(other_from, other_to))
            found.append(self._distance(None, own, other))
        return found

    def _distance(self, adapter: Any, own: Tensor, other: Tensor) -> Tensor:
        return F.mse_loss(own, other)


def fsp_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Give the mean over pixels of all products of two features of one size: (batch, channels, channels)."""
    return torch.einsum("bihw,bjhw->bij", first, second) / (first.shape[2] * first.shape[3])


def _pooled_to_smaller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    from models.distill.losses.adapters import smaller

    size = smaller(first, second)
    return F.adaptive_max_pool2d(first, size), F.adaptive_max_pool2d(second, size)
