"""Losses on relations among the samples of a batch, in place of the samples themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from common.settings import Count, NotNegative, Positive
from models.distill.method import Need, Signals, WithHardLabels
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes

Embedding = Literal["hidden", "logits"]
"""What embeds a sample: the last hidden layer that both networks have, flattened; or the logits."""

Sides = tuple["Tensor", "Tensor"]
"""Of student and teacher."""


class OnEmbeddings(WithHardLabels):
    """A loss over one embedding a sample, of either network, beside the labels' cross-entropy."""

    shares: ClassVar[bool] = False
    embedding: Embedding
    pairs: tuple[tuple[str, str], ...]

    @property
    def needs(self) -> frozenset[Need]:
        """Features only of hidden layers, labels only where they weigh."""
        return super().needs | {"features"} if self.embedding == "hidden" else super().needs

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """None; only checks that the layers are there."""
        if self.embedding == "hidden":
            shapes.last(self.pairs, self.method)
        return None

    def embedded(self, signals: Signals) -> Sides:
        """Embed the batch: (batch, values) each, of as many values as each network has.

        The teacher's logits are the mean over its members.
        """
        if self.embedding == "logits":
            return signals.student, signals.teacher.mean(dim=0)
        own, other = shapes_seen(signals).last(self.pairs, self.method)
        return signals.student_features[own].flatten(1), signals.teacher_features[other].flatten(1)


@dataclass(frozen=True)
class Relational(OnEmbeddings):
    """Match distances between pairs, and angles in triplets, of a batch's embeddings.

    With the embeddings e of n samples, (n, values), of either network:

    - distances: d_ij = |e_i - e_j| / mu, mu the mean of |e_i - e_j| over all pairs i != j of the batch;
    - angles: a_ijk = <e_i - e_j, e_k - e_j> / (|e_i - e_j| |e_k - e_j|), over triplets of distinct samples,
      0 where two of them are embedded alike.

    Each term is the mean, over pairs or triplets, of the Huber loss (delta 1) between student and teacher.
    Widths need not agree; moving, rotating or scaling all embeddings of one network changes nothing. The
    weights are the paper's for classification. Memory grows with the cube of the batch where angles weigh.
    """

    method: ClassVar[str] = "rkd"
    paper: ClassVar[str] = "Park, Kim, Lu, Cho 2019, arXiv:1904.05068"
    some_of: ClassVar[tuple[str, ...]] = ("distance_weight", "angle_weight")

    distance_weight: NotNegative = 25.0
    angle_weight: NotNegative = 50.0
    embedding: Embedding = "hidden"
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: NotNegative = 1.0

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        student, teacher = ((each, pair_distances(each)) for each in self.embedded(signals))
        found = {}
        if self.distance_weight:
            found["distance"] = self.distance_weight, _distance_loss(student[1], teacher[1])
        if self.angle_weight:
            found["angle"] = self.angle_weight, _angle_loss(student, teacher)
        return found


@dataclass(frozen=True)
class CorrelationCongruence(OnEmbeddings):
    """Match kernel matrices of a batch's embeddings.

    With embeddings e of unit length, the correlation of samples i and j is a Gaussian kernel, K_ij =
    exp(-gamma |e_i - e_j|^2), by its Taylor series in <e_i, e_j> up to `order`: exp(-2 gamma) sum_p (2
    gamma)^p / p! <e_i, e_j>^p. The term is the mean over the (n, n) matrix of the squared difference of
    student and teacher. Widths need not agree, and neither network's scale counts. Order 1 is the linear
    kernel.
    """

    method: ClassVar[str] = "correlation-congruence"
    paper: ClassVar[str] = "Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang 2019, arXiv:1904.01802"

    correlation_weight: Positive = 10.0
    gamma: Positive = 0.4
    order: Count = 2
    embedding: Embedding = "hidden"
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: NotNegative = 1.0

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        student, teacher = self.embedded(signals)
        congruence = F.mse_loss(self._kernel(student), self._kernel(teacher))
        return {"correlation": (self.correlation_weight, congruence)}

    def _kernel(self, embeddings: Tensor) -> Tensor:
        """From (n, values) to (n, n)."""
        directions = unit_or_zero(embeddings)
        cosines = directions @ directions.T
        kernel = cosines.new_ones(cosines.shape)
        for power in range(1, self.order + 1):
            kernel = kernel + (2 * self.gamma) ** power / math.factorial(power) * cosines**power
        return math.exp(-2 * self.gamma) * kernel


@dataclass(frozen=True)
class RelationshipGraph(WithHardLabels):
    """Match instance relationship graphs of the layers, and their transformations across layers.

    The vertices of a layer's graph are its features of the n samples, averaged over the pixels; its edges are
    the squared distances between vertices, over the greatest of the batch: A (n, n), 0 to 1. With D(s, t) =
    sum (s - t)^2 / (2 n), Caffe's Euclidean loss, the terms are

    - vertices: D of the logits, since widths of hidden layers need not agree;
    - edges: D of A, summed over the matched layers;
    - transformation, summed over neighbours l, m among the matched layers: D of the edges' change A_m - A_l,
      and, where l and m are of one width in each network, D of the vertices' change, |f_m(x_i) - f_l(x_i)|^2
      over the greatest of the batch, (n,).

    Weights of edges and transformation are those of the authors' training files.
    """

    method: ClassVar[str] = "relationship-graph"
    paper: ClassVar[str] = "Liu, Cao, Li, Yuan, Hu, Li, Duan 2019, CVPR, doi:10.1109/CVPR.2019.00726"
    shares: ClassVar[bool] = False
    soft_needs: ClassVar[frozenset[Need]] = frozenset({"teacher", "features"})
    some_of: ClassVar[tuple[str, ...]] = ("vertex_weight", "edge_weight", "transformation_weight")

    vertex_weight: NotNegative = 0.005
    edge_weight: NotNegative = 0.005
    transformation_weight: NotNegative = 0.005
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: NotNegative = 1.0

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """None; only checks that there are as many layers as the terms want."""
        shapes.pairs(self.pairs, self.method, least=self._least)
        return None

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        layers = shapes_seen(signals).pairs(self.pairs, self.method, least=self._least)
        vertices = [
            (signals.student_features[own].mean(dim=(2, 3)), signals.teacher_features[other].mean(dim=(2, 3)))
            for own, other in layers
        ]
        edges = [(_edges(student), _edges(teacher)) for student, teacher in vertices]
        found = {}
        if self.vertex_weight:
            found["vertices"] = self.vertex_weight, _gap(signals.student, signals.teacher.mean(dim=0))
        if self.edge_weight:
            found["edges"] = self.edge_weight, torch.stack([_gap(*each) for each in edges]).sum()
        if self.transformation_weight:
            changes = [_gap(last[0] - first[0], last[1] - first[1]) for first, last in pairwise(edges)]
            changes += [
                _vertex_change(first, last) for first, last in pairwise(vertices) if _fit(first, last)
            ]
            found["transformation"] = self.transformation_weight, torch.stack(changes).sum()
        return found

    @property
    def _least(self) -> int:
        return 2 if self.transformation_weight else 1


def shapes_seen(signals: Signals) -> Shapes:
    """The shapes of the features in `signals`: those that `Distillation.adapters` was given."""
    from models.distill.features import Shapes, feature_shapes

    student, teacher = map(feature_shapes, (signals.student_features, signals.teacher_features))
    return Shapes(student, teacher, signals.student.shape[1])


def pair_distances(vectors: Tensor) -> Tensor:
    """Distances (n, n) between vectors (n, values): exactly 0, and without a gradient, between equal ones."""
    return torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")


def unit_or_zero(vectors: Tensor) -> Tensor:
    """Bring vectors (n, values) to length 1; zeros stay, and pass no gradient on.

    Quantized students give zeros, at which the gradient of `normalize` is all but infinite.
    """
    return vectors * _inverse(vectors.norm(dim=1, keepdim=True))


def _inverse(lengths: Tensor) -> Tensor:
    """One over each length; 0, without a gradient, where it is 0."""
    return torch.where(lengths > 0, 1 / lengths.where(lengths > 0, 1.0), 0.0)


def _distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """From distances (n, n) of both networks."""
    pairs = max(1, len(student) * (len(student) - 1))
    normal, target = (each / (each.sum() / pairs).clamp_min(1e-12) for each in (student, teacher))
    return F.huber_loss(normal, target, reduction="sum") / pairs


def _angle_loss(student: Sides, teacher: Sides) -> Tensor:
    """From embeddings (n, values) and distances (n, n) of each network."""
    own, target = _cosines(*student), _cosines(*teacher)
    count = len(own)
    difference = F.huber_loss(own, target, reduction="sum")
    # Where i and k are one sample, there is no triplet.
    own, target = own.diagonal(dim1=1, dim2=2), target.diagonal(dim1=1, dim2=2)
    difference = difference - F.huber_loss(own, target, reduction="sum")
    return difference / max(1, count * (count - 1) * (count - 2))


def _cosines(embeddings: Tensor, distances: Tensor) -> Tensor:
    """Cosines (j, i, k) at j between i and k; 0 where i or k coincides with j."""
    inverse = _inverse(distances)
    if embeddings.shape[1] <= len(embeddings):
        directions = (embeddings[None, :] - embeddings[:, None]) * inverse[:, :, None]
        return directions @ directions.transpose(1, 2)
    # By the law of cosines: for wide embeddings less work than the products of directions.
    ratios = distances[:, :, None] * inverse[:, None, :]
    opposite = distances.square()[None] * inverse[:, :, None] * inverse[:, None, :]
    return (ratios + ratios.transpose(1, 2) - opposite) / 2


def _gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the squared difference, summed over all but the batch, of which it is the mean."""
    return (student - teacher).square().sum() / (2 * len(student))


def _edges(vertices: Tensor) -> Tensor:
    """From (n, width) the squared distances, (n, n), over the greatest; all 0 where the samples are alike."""
    squares = pair_distances(vertices).square()
    return squares / squares.amax().clamp_min(1e-12)


def _fit(first: Sides, last: Sides) -> bool:
    """Whether either network is as wide at the first layer as at the last."""
    return all(before.shape == after.shape for before, after in zip(first, last, strict=True))


def _vertex_change(first: Sides, last: Sides) -> Tensor:
    moved = [(after - before).square().sum(dim=1) for before, after in zip(first, last, strict=True)]
    student, teacher = (each / each.amax().clamp_min(1e-12) for each in moved)
    return _gap(student, teacher)
