"""What methods on features train beside the student and throw away.

Features are (batch, channels, height, width); those of dense layers have one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from models.distill.features import FeatureShape, Pairs, Shapes
from models.distill.losses.relations import unit_or_zero
from models.distill.method import Signals

UNKNOWN = -1
"""The label of a sample that no step has shown yet."""

POWER_STEPS = 10


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


class ContrastMemory(nn.Module):
    """Projectors of one layer of each network, and banks of what they gave, keyed by a sample's row.

    All that it remembers is in buffers, and so in checkpoints. With several devices every step begins from
    the first device's banks.
    """

    student_bank: Tensor
    teacher_bank: Tensor
    labels: Tensor
    log_mean: Tensor

    def __init__(
        self, names: tuple[str, str], channels: tuple[int, int], dimensions: int, samples: int
    ) -> None:
        super().__init__()
        self.names = names
        self.student = Projector(channels[0], dimensions)
        self.teacher = Projector(channels[1], dimensions)
        for side in ("student", "teacher"):
            self.register_buffer(f"{side}_bank", unit(torch.randn(samples, dimensions)))
        self.register_buffer("labels", torch.full((samples,), UNKNOWN))
        # Of exp(similarity) over negatives, with the student as the anchor and with the teacher; the first
        # step measures it.
        self.register_buffer("log_mean", torch.full((2,), torch.nan))

    def embed(self, signals: Signals) -> tuple[Tensor, Tensor]:
        """Project both features of a step, the student's first: (batch, dimensions) of unit length."""
        own, other = self.names
        return self.student(signals.student_features[own]), self.teacher(signals.teacher_features[other])

    def negatives(self, drawn: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """Tell which of the `drawn` samples are negatives of which of `rows`: bool (rows, drawn).

        Never a sample of itself; with the labels of `rows`, none of the same class either. Samples that no
        step has shown yet count as of another class: what the banks hold of them is still random.
        """
        others = rows[:, None] != drawn
        return others if labels is None else others & (labels[:, None] != self.labels[drawn])

    def contrast(
        self, embedded: tuple[Tensor, Tensor], drawn: Tensor, negative: Tensor, temperature: float
    ) -> Tensor:
        """Sum the noise-contrastive losses of both anchors; `negative` tells which `drawn` samples count."""
        positive = (embedded[0] * embedded[1]).sum(dim=1) / temperature
        losses = []
        for side, bank in enumerate((self.teacher_bank, self.student_bank)):
            others = (embedded[side] @ bank[drawn].T / temperature)[negative]
            noise = self._log_mean(side, others) + math.log(len(drawn))
            losses.append(F.softplus(noise - positive).mean())
            if len(others):
                losses.append(len(drawn) * F.softplus(others - noise).mean())
        return torch.stack(losses).sum()

    def remember(
        self, embedded: tuple[Tensor, Tensor], rows: Tensor, labels: Tensor | None, momentum: float
    ) -> None:
        """Move the banks' entries of `rows` towards these embeddings, keeping a share `momentum` of them."""
        with torch.no_grad():
            for bank, new in zip((self.student_bank, self.teacher_bank), embedded, strict=True):
                bank[rows] = unit(momentum * bank[rows] + (1 - momentum) * new.detach().to(bank.dtype))
            if labels is not None:
                self.labels[rows] = labels

    def _log_mean(self, side: int, others: Tensor) -> Tensor:
        """Of exp(similarity), as the first step found it."""
        known = self.log_mean[side].clone()
        if not torch.isnan(known) or not len(others):
            return torch.nan_to_num(known)
        measured = others.detach().logsumexp(dim=0) - math.log(len(others))
        if self.training:
            self.log_mean[side] = measured
        return measured


class Attention(nn.Module):
    """Scores of several heads between the samples' vectors before and behind a stage of the teacher."""

    def __init__(self, before: int, behind: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        width = heads * max(1, (before + behind) // 2)
        self.sender, self.receiver = nn.Linear(behind, width), nn.Linear(before, width)
        self.sender_norm = nn.BatchNorm1d(width, track_running_stats=False)
        self.receiver_norm = nn.BatchNorm1d(width, track_running_stats=False)

    def forward(self, before: Tensor, behind: Tensor, learns: bool) -> Tensor:
        """Score (batch, before) and (batch, behind): (heads, batch, batch).

        Args:
            before: the vectors before the stage.
            behind: the vectors behind it.
            learns: whether gradients reach the heads; otherwise they are constants.
        """
        send = self._embed(self.sender, self.sender_norm, behind, learns)
        receive = self._embed(self.receiver, self.receiver_norm, before, learns)
        scores: Tensor = send @ receive.transpose(1, 2) / send.shape[2] ** 0.5
        return scores

    def _embed(self, linear: nn.Linear, norm: nn.BatchNorm1d, x: Tensor, learns: bool) -> Tensor:
        """From (batch, width) to (heads, batch, values of a head)."""
        # Statistics of this batch, student's or teacher's: with the teacher's running ones, which settle
        # slowly on such small numbers, a student far from its vectors saturates what follows.
        parameters = (linear.weight, linear.bias, norm.weight, norm.bias)
        weight, bias, gain, shift = (each if learns else each.detach() for each in parameters)
        flat = F.batch_norm(F.linear(x, weight, bias), None, None, gain, shift, True, 0.0, norm.eps)
        return flat.view(len(x), self.heads, -1).transpose(0, 1)


class Estimator(nn.Module):
    """Estimates the vectors behind a stage from those before it, mixed by the graph."""

    def __init__(self, before: int, behind: int, heads: int) -> None:
        super().__init__()
        width = max(1, (before + behind) // 2)
        norm = nn.BatchNorm1d(width, track_running_stats=False)
        self.embed = nn.Sequential(nn.Linear(before, width), norm, nn.ReLU())
        self.join = nn.Linear(heads * width, behind)

    def forward(self, before: Tensor, scores: Tensor) -> Tensor:
        """From (batch, before) and scores (heads, batch, batch) to unit vectors (batch, behind).

        In each sample about half of the heads are dropped, those that drew less than the mean.
        """
        drawn = torch.randn(len(scores), len(before), 1, device=before.device, dtype=before.dtype)
        kept = (drawn > drawn.mean(dim=0)).to(before.dtype)
        mixed = (scores.softmax(dim=-1) * kept) @ self.embed(before)
        return unit_or_zero(self.join(mixed.transpose(0, 1).flatten(1)))


class AttentionGraphs(nn.Module):
    """Attention and estimator of each stage between neighbouring matched layers; the student's widths fitted.

    The paper's networks have layers of one width, so that the teacher's heads take the student's vectors as
    they are. Where widths differ, a linear map without bias takes the student's vector to the teacher's
    width; it learns with the student.
    """

    def __init__(self, shapes: Shapes, pairs: Pairs, heads: int) -> None:
        super().__init__()
        self.pairs = pairs
        widths = [(shapes.student[own][0], shapes.teacher[other][0]) for own, other in pairs]
        stages = list(pairwise(teacher for _, teacher in widths))
        self.attention = nn.ModuleList(Attention(*stage, heads) for stage in stages)
        self.estimators = nn.ModuleList(Estimator(*stage, heads) for stage in stages)
        self.fits = nn.ModuleList(
            nn.Identity() if own == other else nn.Linear(own, other, bias=False) for own, other in widths
        )

    def estimation(self, vectors: list[Tensor]) -> Tensor:
        """The teacher's own task: mean of 1 - cosine of estimated and true vectors, summed over stages."""
        losses = []
        stages = zip(self.attention, self.estimators, pairwise(vectors), strict=True)
        for attention, estimator, (before, behind) in stages:
            estimated = estimator(before, attention(before, behind, True))
            losses.append(1 - (estimated * behind).sum(dim=1).mean())
        return torch.stack(losses).sum()

    def graphs(self, vectors: list[Tensor]) -> list[Tensor]:
        """Logarithms of each stage's graph, (heads, batch, batch), whose rows sum up to 1; heads constant."""
        return [
            attention(before, behind, False).tanh().log_softmax(dim=-1)
            for attention, (before, behind) in zip(self.attention, pairwise(vectors), strict=True)
        ]

    def fitted(self, vectors: list[Tensor]) -> list[Tensor]:
        """The student's vectors in the teacher's widths, of unit length."""
        return [unit_or_zero(fit(each)) for fit, each in zip(self.fits, vectors, strict=True)]


def compress(features: Tensor) -> Tensor:
    """The first right-singular vector of each sample's (pixels, channels) matrix: (batch, channels).

    From features (batch, channels, height, width), by power iteration from the mean pixel, which also fixes
    its sign; unlike a decomposition's, its gradient stays finite where singular values coincide. A sample of
    one pixel gives that pixel over its length, a sample of zeros gives zeros.
    """
    pixels = features.flatten(2)
    vector = unit_or_zero(pixels.mean(dim=2))
    for _ in range(POWER_STEPS if pixels.shape[2] > 1 else 0):
        projected = torch.einsum("bcp,bc->bp", pixels, vector)
        vector = unit_or_zero(torch.einsum("bcp,bp->bc", pixels, projected))
    return vector
