"""Congruence of the correlations among a batch's samples (arXiv:1904.01802)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from models.distill.losses.hinton import hard_term
from models.distill.losses.relational import Embedding, OnEmbeddings, embedded, unit
from models.distill.method import Signals, require_above_zero, require_not_negative
from models.lazy import F

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class CorrelationCongruence(OnEmbeddings):
    """Match kernel matrices of a batch's embeddings.

    With embeddings e of unit length, the correlation of samples i and j is a Gaussian kernel, K_ij =
    exp(-gamma |e_i - e_j|^2), by its Taylor series in <e_i, e_j> up to `order`: exp(-2 gamma) sum_p
    (2 gamma)^p / p! <e_i, e_j>^p. The term is the mean over the (n, n) matrix of the squared difference of
    student and teacher. Widths need not agree, and neither network's scale counts. A first order gives
    the linear kernel, the inner products.

    Raises:
        ConfigError: gamma not above 0, an order below 1, correlation_weight not above 0, or
            hard_label_weight below 0.
    """

    method: ClassVar[str] = "correlation-congruence"
    paper: ClassVar[str] = "Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang 2019, arXiv:1904.01802"

    correlation_weight: float = 10.0
    gamma: float = 0.4
    order: int = 2
    embedding: Embedding = "hidden"
    pairs: tuple[tuple[str, str], ...] = ()
    hard_label_weight: float = 1.0

    def __post_init__(self) -> None:
        require_above_zero(self.method, correlation_weight=self.correlation_weight, gamma=self.gamma)
        require_not_negative(self.method, hard_label_weight=self.hard_label_weight)
        if self.order < 1:
            raise ConfigError(f"{self.method}: order is {self.order}; give 1 or more")

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the correlation and the hard term."""
        student, teacher = embedded(signals, self.embedding, self.pairs, self.method)
        congruence = F.mse_loss(self._kernel(student), self._kernel(teacher))
        return {
            "correlation": self.correlation_weight * congruence,
            **hard_term(signals, self.hard_label_weight),
        }

    def _kernel(self, embeddings: Tensor) -> Tensor:
        """From (n, values) to (n, n)."""
        directions = unit(embeddings)
        cosines = directions @ directions.T
        kernel = cosines.new_ones(cosines.shape)
        for power in range(1, self.order + 1):
            kernel = kernel + (2 * self.gamma) ** power / math.factorial(power) * cosines**power
        return math.exp(-2 * self.gamma) * kernel
