"""Contrastive representation distillation (arXiv:1910.10699)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Lt, MaxLen

from common.settings import Count, Positive
from models.distill.method import Distillation, Need, Signals
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Shapes


@dataclass(frozen=True)
class ContrastiveRepresentation(Distillation):
    """Student and teacher shall embed a sample alike, and otherwise than other samples.

    Both features, averaged over their pixels, are embedded linearly at unit length: s and t. With
    h = e / (e + N m), e = exp(s . t / temperature), the chance that a pair comes from one sample in place of
    one of N negatives, and m the mean of e over negatives in the first step (the normalizer of
    arXiv:1805.01978), the term is -log h(s, t) - N E[log(1 - h(s, t'))] with the student as the anchor, and
    likewise with the teacher (section 3.1); a mean over the batch.

    The two terms are those of the authors' code (github.com/HobbitLong/RepDistiller), which takes m over the
    positive, too, temperature 0.07, and the loss 0.8 times beside the labels' cross-entropy.

    Negatives come from memory banks of embeddings of the whole transfer set, which follow as samples are
    seen: entry = momentum * entry + (1 - momentum) * embedding, at unit length. The N rows of a step are
    drawn at random, shared by the batch; those that are no negatives of a sample are left out of the mean.
    Positives are this step's (the authors' code takes those of the banks, which are an epoch old, and random
    in the first). The banks take 2 * samples * dimensions floats, also in checkpoints.

    Attributes:
        temperature: of the similarities.
        dimensions: of the embeddings; 128 in the paper.
        negatives: N, drawn in each step; 16384 in the paper.
        negatives_from: samples of other classes, or all others; the latter needs no labels.
        momentum: of the banks, 0 or more, below 1.
        pairs: one pair of names, of a student's layer and a teacher's; the last hidden ones, if not given.
    """

    method: ClassVar[str] = "contrastive-representation"
    paper: ClassVar[str] = "Tian, Krishnan, Isola 2020, arXiv:1910.10699"
    whole: ClassVar[bool] = False

    temperature: Positive = 0.1
    dimensions: Count = 64
    negatives: Count = 1024
    negatives_from: Literal["other-classes", "other-samples"] = "other-classes"
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.5
    pairs: Annotated[tuple[tuple[str, str], ...], MaxLen(1)] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features; labels to find other classes."""
        return frozenset({"features", "labels"} if self._by_class else {"features"})

    @property
    def _by_class(self) -> bool:
        return self.negatives_from == "other-classes"

    def adapters(self, shapes: Shapes) -> nn.Module:
        """Projectors and banks."""
        from models.distill.losses.adapters import ContrastMemory

        own, other = names = shapes.last(self.pairs, self.method)
        channels = shapes.student[own][0], shapes.teacher[other][0]
        return ContrastMemory(names, channels, self.dimensions, shapes.samples)

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the contrast; in training mode, the banks remember this step."""
        from models.distill.losses.adapters import ContrastMemory

        memory = adapters
        assert isinstance(memory, ContrastMemory) and signals.rows is not None
        labels = signals.labels if self._by_class else None
        embedded = memory.embed(signals)
        samples = len(memory.labels)
        drawn = torch.randint(samples, (self.negatives,), device=signals.rows.device)
        negative = memory.negatives(drawn, signals.rows, labels)
        loss = memory.contrast(embedded, drawn, negative, self.temperature)
        if memory.training:
            memory.remember(embedded, signals.rows, labels, self.momentum)
        return {"contrast": loss}
