"""Relations among the samples of a batch, in place of the samples themselves (arXiv:1904.05068)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.method import Distillation, Need, Signals, require_not_negative
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes

Embedding = Literal["hidden", "logits"]
"""What stands for a sample: the last hidden layer that both networks have, flattened; or the logits."""


class OnEmbeddings(Distillation):
    """A loss over one embedding a sample, of either network, beside the labels' cross-entropy."""

    embedding: Embedding
    pairs: tuple[tuple[str, str], ...]
    hard_label_weight: float

    @property
    def needs(self) -> frozenset[Need]:
        """Features only of hidden layers, labels only where they weigh."""
        needs: set[Need] = {"teacher"}
        if self.embedding == "hidden":
            needs.add("features")
        if self.hard_label_weight:
            needs.add("labels")
        return frozenset(needs)

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """None; only checks that the layers are there."""
        if self.embedding == "hidden":
            shapes.last(self.pairs, self.method)
        return None


@dataclass(frozen=True)
class Relational(OnEmbeddings):
    """Match distances between pairs, and angles in triplets, of a batch's embeddings.

    With the embeddings e of n samples, (n, values), of either network:

    - distances: d_ij = |e_i - e_j| / mu, mu the mean of |e_i - e_j| over all pairs i != j of the batch;
    - angles: a_ijk = <e_i - e_j, e_k - e_j> / (|e_i - e_j| |e_k - e_j|), over triplets of distinct samples,
      0 where two of them are embedded alike.

    Each term is the mean, over pairs or triplets, of the Huber loss (delta 1) between student and teacher.
    Widths need not agree, and neither term changes when all embeddings of one network are moved, rotated or
    scaled. The weights are those of the paper for classification, where they stand beside the cross-entropy
    with the labels. Memory grows with the cube of the batch where angles weigh.

    Raises:
        ConfigError: a weight below 0, or neither term weighs.
    """

    method: ClassVar[str] = "rkd"
    paper: ClassVar[str] = "Park, Kim, Lu, Cho 2019, arXiv:1904.05068"

    distance_weight: float = 25.0
    angle_weight: float = 50.0
    embedding: Embedding = "hidden"
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: float = 1.0

    def __post_init__(self) -> None:
        require_not_negative(
            self.method,
            distance_weight=self.distance_weight,
            angle_weight=self.angle_weight,
            hard_label_weight=self.hard_label_weight,
        )
        if not (self.distance_weight or self.angle_weight):
            raise ConfigError(f"{self.method}: distance_weight and angle_weight are both 0; give one above 0")

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute what has a weight of distance, angle and hard label."""
        student, teacher = (
            (each, pair_distances(each))
            for each in embedded(signals, self.embedding, self.pairs, self.method)
        )
        found = {}
        if self.distance_weight:
            found["distance"] = self.distance_weight * _distance_loss(student[1], teacher[1])
        if self.angle_weight:
            found["angle"] = self.angle_weight * _angle_loss(student, teacher)
        return {**found, **hard_term(signals, self.hard_label_weight)}


def embedded(
    signals: Signals, embedding: Embedding, wanted: tuple[tuple[str, str], ...], method: str
) -> tuple[Tensor, Tensor]:
    """Embed the batch by student and teacher: (batch, values) each, of as many values as each has.

    The teacher's logits are the mean over its members.
    """
    if embedding == "logits":
        return signals.student, signals.teacher.mean(dim=0)
    of_student, of_teacher = shapes_seen(signals).last(wanted, method)
    return signals.student_features[of_student].flatten(1), signals.teacher_features[of_teacher].flatten(1)


def shapes_seen(signals: Signals) -> Shapes:
    """The shapes of the features in `signals`: those that `Distillation.adapters` was given."""
    from models.distill.features import Shapes

    student, teacher = (
        {name: (value.shape[1], value.shape[2], value.shape[3]) for name, value in features.items()}
        for features in (signals.student_features, signals.teacher_features)
    )
    return Shapes(student, teacher, signals.student.shape[1])


def pair_distances(vectors: Tensor) -> Tensor:
    """Distances (n, n) between vectors (n, values): exactly 0, and without a gradient, between equal ones."""
    return torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")


def unit(vectors: Tensor) -> Tensor:
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


def _angle_loss(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]) -> Tensor:
    """From embeddings (n, values) and distances (n, n) of both networks."""
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
