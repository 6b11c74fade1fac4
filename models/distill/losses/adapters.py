"""What methods on features train beside the student and throw away: regressors, projectors, matched layers.

Features are (batch, channels, height, width); those of dense layers have one pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from models.distill.features import FeatureShape, Pairs
from models.distill.method import Signals


class Paired(nn.ModuleList):
    """The matched layers, by name, and a module for each pair, where a method has any."""

    def __init__(self, pairs: Pairs, modules: Iterable[nn.Module] = ()) -> None:
        super().__init__(modules)
        self.pairs = pairs

    def features(self, signals: Signals) -> Iterator[tuple[Tensor, Tensor]]:
        """Give what both layers of each pair gave in this step, the student's first."""
        for own, other in self.pairs:
            yield signals.student_features[own], signals.teacher_features[other]


class Regressor(nn.Module):
    """A 1 by 1 convolution from a student's channels to a teacher's, over as many pixels as both have."""

    def __init__(self, student: FeatureShape, teacher: FeatureShape) -> None:
        super().__init__()
        self.channels = nn.Conv2d(student[0], teacher[0], 1)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Give the regressed student and the teacher, both (batch, teacher's channels, height, width)."""
        student, teacher = averaged_to_smaller(student, teacher)
        return self.channels(student), teacher


class GaussianRegressor(Regressor):
    """A regressor that gives the mean of a Gaussian whose variance is learned, one a channel.

    The variance is softplus of a weight, plus `LEAST`, so that it cannot vanish.
    """

    LEAST = 1e-5

    def __init__(self, student: FeatureShape, teacher: FeatureShape, variance: float) -> None:
        super().__init__(student, teacher)
        start = torch.tensor(max(variance - self.LEAST, self.LEAST), dtype=torch.float64)
        # The inverse of softplus, log(exp(v) - 1), without overflow.
        weight = (start + torch.log(-torch.expm1(-start))).float()
        self.raw = nn.Parameter(torch.full((teacher[0], 1, 1), weight.item()))

    @property
    def variance(self) -> Tensor:
        """Of each channel, (channels, 1, 1)."""
        return F.softplus(self.raw) + self.LEAST


class Projector(nn.Module):
    """A linear embedding of the means over all pixels, of unit length: (batch, dimensions)."""

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, dimensions)

    def forward(self, feature: Tensor) -> Tensor:
        """Embed (batch, channels, height, width)."""
        return unit(self.linear(feature.mean(dim=(2, 3))))


def averaged_to_smaller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Average both over neighbouring pixels, to the smaller height and the smaller width."""
    size = smaller(first, second)
    return F.adaptive_avg_pool2d(first, size), F.adaptive_avg_pool2d(second, size)


def smaller(first: Tensor, second: Tensor) -> tuple[int, int]:
    """Give the smaller height and width of two features."""
    return min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3])


def unit(x: Tensor) -> Tensor:
    """Scale along the last axis to unit length. Zeros stay zeros, as quantized features often are, and pass
    their gradient on as it comes: divided by a very small number, it would swamp all others.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length > 0, length, 1.0)
