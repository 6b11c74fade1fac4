"""Self-supervised quantization-aware distillation (arXiv:2403.11106)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.distill.losses.softening import divergence, ensemble_target
from models.distill.method import Distillation, Signals, require_temperature

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Sqakd(Distillation):
    """Quantization-aware training by the teacher's softened probabilities alone, without any label.

    T^2 KL(mean of the members' probabilities at T || student at T); no other term, so no weights to balance;
    T = 4, and no term of labels, as in the authors' code.

    What is not here: the paper trains a quantized copy of the teacher, from the teacher's weights; ours is
    another, smaller network, from drawn ones. And the paper also lessens the error of rounding, by a gradient
    that looks at it (EWGS, arXiv:2104.00903). The quantizers of our students pass gradients straight through
    the rounding and stop them outside of the activations' range, which in its view is the case where that
    error weighs nothing.

    Raises:
        ConfigError: temperature not above 0.
    """

    method: ClassVar[str] = "sqakd"
    paper: ClassVar[str] = "Zhao, Zhao 2024, AISTATS, arXiv:2403.11106"

    temperature: float = 4.0

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the divergence."""
        target = ensemble_target(signals.teacher, self.temperature)
        return {"soft": divergence(target, signals.student, self.temperature)}

    def at_temperature(self, temperature: float) -> Sqakd:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)
