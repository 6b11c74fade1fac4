"""The teacher's relations between samples, estimated by multi-head attention (arXiv:1907.02226)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.method import (
    Distillation,
    Need,
    Signals,
    require_above_zero,
    require_not_negative,
    require_share,
)
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class AttentionGraph(Distillation):
    """Match the graph of the samples that multi-head attention finds between two layers of the teacher.

    Each matched layer's features (pixels, channels) of a sample become their first right-singular vector.
    Between neighbouring layers, each of `heads` scores every pair of samples: from the vectors behind a stage
    (senders) and before it (receivers), embedded to d values by a linear layer with batch-norm, S = send
    receive^T / sqrt(d) (heads, batch, batch). Two terms, in every step:

    - attention: the heads learn the teacher's embedding. softmax(S), with half of its heads dropped at
      random, mixes the vectors before the stage to an estimate of those behind it; the loss is one minus
      their cosine. Only heads and estimator get its gradients: the student has no part in it.
    - graph: KL(G_student || G_teacher) with the rows of G = softmax(tanh(S)), mean over heads and samples,
      summed over stages. The heads are constants here; the student gives its own vectors, taken to the
      teacher's widths by a linear map where they differ.

    The paper trains the heads first. Here `attention_first` is the share of the training in which the graph
    does not weigh yet; the heads go on learning thereafter, as in the authors' code. So are the direction of
    the KL and the tanh. Theirs has running statistics in the heads' batch-norm and not the 1 / sqrt(d) of
    arXiv:1706.03762; both let the tanh saturate where widths differ. The singular vector is found by power
    iteration.

    Raises:
        ConfigError: heads below 1, a share outside of 0..1 or of 1, graph_weight not above 0, or
            hard_label_weight below 0.
    """

    method: ClassVar[str] = "attention-graph"
    paper: ClassVar[str] = "Lee, Song 2019, arXiv:1907.02226"

    graph_weight: float = 10.0
    heads: int = 8
    attention_first: float = 0.2
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: float = 1.0

    def __post_init__(self) -> None:
        require_above_zero(self.method, graph_weight=self.graph_weight)
        require_not_negative(self.method, hard_label_weight=self.hard_label_weight)
        require_share(self.method, attention_first=self.attention_first)
        if self.attention_first == 1:
            raise ConfigError(f"{self.method}: attention_first is 1; give less, or the graph never weighs")
        if self.heads < 1:
            raise ConfigError(f"{self.method}: heads is {self.heads}; give 1 or more")

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        needs: frozenset[Need] = frozenset({"teacher", "features"})
        return needs | {"labels"} if self.hard_label_weight else needs

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """Make heads, estimators and, where widths differ, linear maps of the student's vectors."""
        from models.distill.losses.attention_adapters import AttentionGraphs

        return AttentionGraphs(shapes, shapes.pairs(self.pairs, self.method, least=2), self.heads)

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the terms of attention, graph and hard label."""
        from models.distill.losses.attention_adapters import compress

        made: Any = adapters
        teacher = [compress(signals.teacher_features[name]) for _, name in made.pairs]
        student = made.fitted([compress(signals.student_features[name]) for name, _ in made.pairs])
        attention = made.estimation(teacher)
        weight = self.graph_weight if signals.progress >= self.attention_first else 0.0
        divergences = [
            (own.exp() * (own - target)).sum(dim=-1).mean()
            for own, target in zip(made.graphs(student), made.graphs(teacher), strict=True)
        ]
        return {
            "attention": attention,
            "graph": weight * torch.stack(divergences).sum(),
            **hard_term(signals, self.hard_label_weight),
        }
