"""Flow of the solution procedure (Yim et al., CVPR 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Distillation, Need, Signals
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Pairs, Shapes


@dataclass(frozen=True)
class FlowOfSolution(Distillation):
    """Match how features go from layer to layer: the FSP matrices of both networks.

    The matrix of a flow from a layer with channels i to one with channels j is G[i, j], the mean over pixels
    of the products of both features; where the sizes differ, the larger is max-pooled to the smaller, as in
    the paper. A flow goes from each pair of matched layers to the next. Its term is the squared difference
    |G_T - G_S|^2, as a mean over batch and entries (a sum over entries in the paper, equation 2; with the
    mean, github.com/HobbitLong/RepDistiller weighs it by 50), summed over the flows, all of one weight, as in
    the paper. The paper's students have the teacher's channels; others pass a 1 by 1 convolution without bias
    from their channels to the teacher's first.

    Attributes:
        pairs: names of a student's layer and a teacher's, two or more in the order of the flow; if none are
            given those that fit, without layers of one pixel as far as two others are there.
    """

    method: ClassVar[str] = "fsp"
    paper: ClassVar[str] = "Yim et al., CVPR 2017"
    whole: ClassVar[bool] = False

    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the layers between which features flow.

        Raises:
            ConfigError: a name that is not there, or fewer than two pairs.
        """
        found = shapes.pairs(self.pairs, self.method, least=2)
        # The paper has flows between convolutions only.
        pictures = tuple(pair for pair in found if shapes.common_pixels(pair) > 1)
        return found if self.pairs or len(pictures) < 2 else pictures

    def adapters(self, shapes: Shapes) -> nn.Module:
        """From the student's channels to the teacher's, for each pair."""
        from torch import nn

        from models.distill.losses.adapters import Paired

        pairs = self.matched(shapes)
        channels = [(shapes.student[own][0], shapes.teacher[other][0]) for own, other in pairs]
        return Paired(
            pairs,
            (
                nn.Identity() if own == other else nn.Conv2d(own, other, 1, bias=False)
                for own, other in channels
            ),
        )

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the differences of the FSP matrices."""
        from models.distill.losses.adapters import Paired

        assert isinstance(adapters, Paired)
        layers = list(zip(adapters, adapters.features(signals), strict=True))
        differences = []
        for (adapt_from, (own_from, other_from)), (adapt_to, (own_to, other_to)) in pairwise(layers):
            # Pooled first: fewer pixels to adapt, and as the teacher's features are.
            own_from, own_to = _pooled_to_smaller(own_from, own_to)
            own = fsp_matrix(adapt_from(own_from), adapt_to(own_to))
            other = fsp_matrix(*_pooled_to_smaller(other_from, other_to))
            differences.append(F.mse_loss(own, other))
        return {"flow": torch.stack(differences).sum()}


def fsp_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Give the mean over pixels of all products of two features of one size: (batch, channels, channels)."""
    return torch.einsum("bihw,bjhw->bij", first, second) / (first.shape[2] * first.shape[3])


def _pooled_to_smaller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    from models.distill.losses.adapters import smaller

    size = smaller(first, second)
    return F.adaptive_max_pool2d(first, size), F.adaptive_max_pool2d(second, size)
