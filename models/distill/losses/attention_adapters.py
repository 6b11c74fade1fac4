"""What graph-based distillation by multi-head attention trains beside the student (arXiv:1907.02226)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from models.distill.features import Pairs, Shapes
from models.distill.losses.relational import unit

POWER_STEPS = 10


class Stage(NamedTuple):
    """Channels of a matched layer."""

    student: int
    teacher: int


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
        return unit(self.join(mixed.transpose(0, 1).flatten(1)))


class AttentionGraphs(nn.Module):
    """Attention and estimator of each stage between neighbouring matched layers; the student's widths fitted.

    The paper's networks have layers of one width, so that the teacher's heads take the student's vectors as
    they are. Where widths differ, a linear map without bias takes the student's vector to the teacher's
    width; it learns with the student.
    """

    def __init__(self, shapes: Shapes, pairs: Pairs, heads: int) -> None:
        super().__init__()
        self.pairs = pairs
        widths = [Stage(shapes.student[student][0], shapes.teacher[teacher][0]) for student, teacher in pairs]
        stages = [(first.teacher, last.teacher) for first, last in pairwise(widths)]
        self.attention = nn.ModuleList(Attention(*stage, heads) for stage in stages)
        self.estimators = nn.ModuleList(Estimator(*stage, heads) for stage in stages)
        self.fits = nn.ModuleList(
            nn.Identity() if width.student == width.teacher else nn.Linear(*width, bias=False)
            for width in widths
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
        return [unit(fit(each)) for fit, each in zip(self.fits, vectors, strict=True)]


def compress(features: Tensor) -> Tensor:
    """The first right-singular vector of each sample's (pixels, channels) matrix: (batch, channels).

    From features (batch, channels, height, width), by power iteration from the mean pixel, which also fixes
    its sign; unlike a decomposition's, its gradient stays finite where singular values coincide. A sample of
    one pixel gives that pixel over its length, a sample of zeros gives zeros.
    """
    pixels = features.flatten(2)
    vector = unit(pixels.mean(dim=2))
    for _ in range(POWER_STEPS if pixels.shape[2] > 1 else 0):
        projected = torch.einsum("bcp,bc->bp", pixels, vector)
        vector = unit(torch.einsum("bcp,bp->bc", pixels, projected))
    return vector
