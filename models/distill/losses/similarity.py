"""Similarity-preserving distillation (arXiv:1907.09682)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Distillation, Need, Signals
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class SimilarityPreserving(Distillation):
    """Samples that are alike to the teacher shall be alike to the student.

    With Q (batch, channels * height * width) the flat features, G = Q Q^T holds the similarities of all
    samples of the batch; each row is scaled to unit length. The term is |G_T - G_S|^2 / batch^2, over all
    entries, summed over the pairs (equation 4). Channels and sizes may differ, and nothing is trained beside
    the student.

    Attributes:
        pairs: names of a student's layer and a teacher's; those that fit, if none are given.
    """

    method: ClassVar[str] = "similarity-preserving"
    paper: ClassVar[str] = "Tung, Mori 2019, arXiv:1907.09682"
    whole: ClassVar[bool] = False

    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def adapters(self, shapes: Shapes) -> nn.Module:
        """Nothing that trains: the pairs."""
        from models.distill.losses.adapters import Paired

        return Paired(shapes.pairs(self.pairs, self.method))

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the mean squared differences of the similarities."""
        from models.distill.losses.adapters import Paired

        assert isinstance(adapters, Paired)
        differences = [
            (similarities(own) - similarities(other)).square().mean()
            for own, other in adapters.features(signals)
        ]
        return {"similarity": torch.stack(differences).sum()}


def similarities(feature: Tensor) -> Tensor:
    """Of all samples of a batch (batch, ...) with each other, in rows of unit length: (batch, batch)."""
    from models.distill.losses.adapters import unit

    flat = feature.flatten(1)
    return unit(flat @ flat.T)
