"""Graphs of a batch's samples in every layer, and how they change from layer to layer (CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.relational import pair_distances, shapes_seen
from models.distill.method import Distillation, Need, Signals, require_not_negative
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class RelationshipGraph(Distillation):
    """Match instance relationship graphs of the layers, and their transformations across layers.

    The vertices of a layer's graph are its features of the n samples, averaged over the pixels; its edges are
    the squared distances between vertices, over the greatest of the batch: A (n, n), 0 to 1. With D(s, t) =
    sum (s - t)^2 / (2 n), Caffe's Euclidean loss, the terms are

    - vertices: D of the logits, since widths of hidden layers need not agree;
    - edges: D of A, summed over the matched layers;
    - transformation, summed over neighbours l, m among the matched layers: D of the edges' change A_m - A_l,
      and, where l and m are of one width in each network, D of the vertices' change, |f_m(x_i) - f_l(x_i)|^2
      over the greatest of the batch, (n,).

    Weights of edges and transformation are those of the authors' training files. Where layers are wider and
    wider, only the edges' change is left of the transformation.

    Raises:
        ConfigError: a weight below 0, or no term weighs.
    """

    method: ClassVar[str] = "relationship-graph"
    paper: ClassVar[str] = "Liu, Cao, Li, Yuan, Hu, Li, Duan 2019, CVPR, doi:10.1109/CVPR.2019.00726"

    vertex_weight: float = 0.005
    edge_weight: float = 0.005
    transformation_weight: float = 0.005
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: float = 1.0

    def __post_init__(self) -> None:
        weights = {
            "vertex_weight": self.vertex_weight,
            "edge_weight": self.edge_weight,
            "transformation_weight": self.transformation_weight,
        }
        require_not_negative(self.method, **weights, hard_label_weight=self.hard_label_weight)
        if not any(weights.values()):
            raise ConfigError(f"{self.method}: {', '.join(weights)} are all 0; give one above 0")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        needs: frozenset[Need] = frozenset({"teacher", "features"})
        return needs | {"labels"} if self.hard_label_weight else needs

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """None; only checks that there are as many layers as the terms want."""
        shapes.pairs(self.pairs, self.method, least=self._least)
        return None

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute what has a weight of vertices, edges, transformation and hard label."""
        layers = shapes_seen(signals).pairs(self.pairs, self.method, least=self._least)
        vertices = [
            (
                signals.student_features[of_student].mean(dim=(2, 3)),
                signals.teacher_features[of_teacher].mean(dim=(2, 3)),
            )
            for of_student, of_teacher in layers
        ]
        edges = [(_edges(student), _edges(teacher)) for student, teacher in vertices]
        found = {}
        if self.vertex_weight:
            found["vertices"] = self.vertex_weight * _gap(signals.student, signals.teacher.mean(dim=0))
        if self.edge_weight:
            found["edges"] = self.edge_weight * torch.stack([_gap(*each) for each in edges]).sum()
        if self.transformation_weight:
            changes = [_gap(last[0] - first[0], last[1] - first[1]) for first, last in pairwise(edges)]
            changes += [
                _vertex_change(first, last) for first, last in pairwise(vertices) if _fit(first, last)
            ]
            found["transformation"] = self.transformation_weight * torch.stack(changes).sum()
        return {**found, **hard_term(signals, self.hard_label_weight)}

    @property
    def _least(self) -> int:
        return 2 if self.transformation_weight else 1


Sides = tuple["Tensor", "Tensor"]
"""Of student and teacher."""


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
