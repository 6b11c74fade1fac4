"""The teacher's relations between samples, estimated by multi-head attention (arXiv:1907.02226)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Lt

from common.settings import Count, NotNegative, Positive
from models.distill.method import Need, Signals, WithHardLabels
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class AttentionGraph(WithHardLabels):
    """Match the graph of the samples that multi-head attention finds between two layers of the teacher.

    Each matched layer's features (pixels, channels) of a sample become their first right-singular vector.
    Between neighbouring layers, each of `heads` scores every pair of samples: from the vectors behind a stage
    (senders) and before it (receivers), embedded to d values by a linear layer with batch-norm, S = send
    receive^T / sqrt(d) (heads, batch, batch). Two terms, in every step:

    - attention: the heads learn the teacher's embedding. softmax(S), with half of its heads dropped at
      random, mixes the vectors before the stage to an estimate of those behind it; the loss is one minus
      their cosine. Only heads and estimator get its gradients.
    - graph: KL(G_student || G_teacher) with the rows of G = softmax(tanh(S)), mean over heads and samples,
      summed over stages. The heads are constants here; a linear map takes the student's vectors to the
      teacher's widths where they differ.

    The direction of the KL and the tanh are those of the authors' code, which has running statistics in the
    heads' batch-norm and not the 1 / sqrt(d) of arXiv:1706.03762; both let the tanh saturate where widths
    differ.

    Attributes:
        attention_first: share of the training in which the graph does not weigh yet; the paper trains the
            heads first. The heads go on learning thereafter, as in the authors' code.
    """

    method: ClassVar[str] = "attention-graph"
    paper: ClassVar[str] = "Lee, Song 2019, arXiv:1907.02226"
    shares: ClassVar[bool] = False
    soft_needs: ClassVar[frozenset[Need]] = frozenset({"teacher", "features"})

    graph_weight: Positive = 10.0
    heads: Count = 8
    attention_first: Annotated[float, Ge(0), Lt(1)] = 0.2
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: NotNegative = 1.0

    def adapters(self, shapes: Shapes) -> nn.Module | None:
        """Make heads, estimators and, where widths differ, linear maps of the student's vectors."""
        from models.distill.losses.adapters import AttentionGraphs

        return AttentionGraphs(shapes, shapes.pairs(self.pairs, self.method, least=2), self.heads)

    def _soft_terms(self, signals: Signals, adapters: nn.Module | None) -> dict[str, tuple[float, Tensor]]:
        from models.distill.losses.adapters import compress

        made: Any = adapters
        teacher = [compress(signals.teacher_features[name]) for _, name in made.pairs]
        student = made.fitted([compress(signals.student_features[name]) for name, _ in made.pairs])
        attention = made.estimation(teacher)
        weight = self.graph_weight if signals.progress >= self.attention_first else 0.0
        divergences = [
            (own.exp() * (own - target)).sum(dim=-1).mean()
            for own, target in zip(made.graphs(student), made.graphs(teacher), strict=True)
        ]
        return {"attention": (1.0, attention), "graph": (weight, torch.stack(divergences).sum())}
