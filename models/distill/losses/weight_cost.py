"""Biased weight decay: a cost that drives small weights to zero and leaves large ones alone (NIPS 1988)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from models.distill.method import Distillation, Need, Signals, require_above_zero
from models.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class WeightCost(Distillation):
    """The mean cost of a weight, 0 to 1; stands beside another loss, and its `weight` is the strength.

    With u = |w| / scale, of a single weight or, `over` units, of the sum of |w| over all weights into an
    output channel (Hanson and Pratt's choice, which empties whole channels):

    - quadratic: u^2 / (1 + u^2) (Rumelhart 1987; weight elimination, Weigend et al., NIPS 1990)
    - hyperbolic: u / (1 + u)
    - exponential: 1 - exp(-u)

    All rise to 1, so that their slope, unlike that of plain decay, falls for weights beyond the scale.

    Attributes:
        cost: its form.
        scale: what counts as a large weight, before quantization.
        over: single weights, or the weights into a channel together.

    Raises:
        ConfigError: a scale not above 0.
    """

    method: ClassVar[str] = "weight-cost"
    paper: ClassVar[str] = "Hanson, Pratt 1988, NIPS 1"
    whole: ClassVar[bool] = False

    cost: Literal["quadratic", "hyperbolic", "exponential"] = "quadratic"
    scale: float = 0.1
    over: Literal["weights", "units"] = "weights"

    def __post_init__(self) -> None:
        require_above_zero(self.method, scale=self.scale)

    @property
    def needs(self) -> frozenset[Need]:
        """Nothing but the student's weights."""
        return frozenset()

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the mean cost over all layers."""
        weights = signals.weights.values()
        sizes = [weight.abs().flatten(1) / self.scale for weight in weights]  # (outputs, fan in)
        if self.over == "units":
            sizes = [size.sum(dim=1) for size in sizes]
        return {self.cost: self._cost(torch.cat([size.flatten() for size in sizes])).mean()}

    def _cost(self, u: Tensor) -> Tensor:
        match self.cost:
            case "quadratic":
                return u**2 / (1 + u**2)
            case "hyperbolic":
                return u / (1 + u)
            case "exponential":
                return 1 - torch.exp(-u)
