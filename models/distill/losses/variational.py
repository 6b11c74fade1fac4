"""Variational information distillation (arXiv:1904.05835)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Distillation, Need, Signals, require_above_zero
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class VariationalInformation(Distillation):
    """Raise a lower bound of the mutual information of the teacher's features and the student's.

    The bound is the likelihood of the teacher's feature t under a Gaussian whose mean a 1 by 1 convolution
    regresses from the student's feature, and whose variance v is learned, one a channel. The term is its
    negative logarithm without constants, (log v + (t - mean)^2 / v) / 2, as a mean over batch, channels and
    pixels (a sum in the paper, equation 4), summed over the pairs; it may fall below 0. Channels that the
    student cannot follow get a large variance, and count for little. Where sizes differ, the larger feature
    is averaged to the smaller.

    Attributes:
        variance: that every channel begins with.
        pairs: names of a student's layer and a teacher's; those that fit, if none are given.

    Raises:
        ConfigError: a variance not above 0.
    """

    method: ClassVar[str] = "variational-information"
    paper: ClassVar[str] = "Ahn et al. 2019, arXiv:1904.05835"
    whole: ClassVar[bool] = False

    variance: float = 5.0
    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        require_above_zero(self.method, variance=self.variance)

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def adapters(self, shapes: Shapes) -> nn.Module:
        """A Gaussian for each pair."""
        from models.distill.losses.adapters import GaussianRegressor, Paired

        pairs = shapes.pairs(self.pairs, self.method)
        made = (
            GaussianRegressor(shapes.student[own], shapes.teacher[other], self.variance)
            for own, other in pairs
        )
        return Paired(pairs, made)

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the negative log-likelihoods."""
        from models.distill.losses.adapters import GaussianRegressor, Paired

        assert isinstance(adapters, Paired)
        losses = []
        for gaussian, features in zip(adapters, adapters.features(signals), strict=True):
            assert isinstance(gaussian, GaussianRegressor)
            mean, target = gaussian(*features)
            variance = gaussian.variance
            losses.append(0.5 * (variance.log() + (target - mean).square() / variance).mean())
        return {"information": torch.stack(losses).sum()}
