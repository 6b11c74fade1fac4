"""What of a teacher's word counts: confidence alone, or dark knowledge out of place (arXiv:1805.04770)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from models.distill.losses.hinton import hard_term
from models.distill.method import Distillation, Need, Signals, require_share, require_temperature
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

STEPS = 2**30
"""Parts of the training that `PermutedDarkKnowledge` tells apart."""


@dataclass(frozen=True)
class ConfidenceWeighted(Distillation):
    """Labels alone, each sample weighted by the teacher's confidence (CWTM, section 3.3).

    With w_s the greatest class probability that the teacher gives sample s, right or wrong, the mean over its
    members: sum_s w_s CE(y_s, student) / sum_s w_s over the batch.
    """

    method: ClassVar[str] = "confidence-weighted"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, and the teacher's confidence in its own."""
        return frozenset({"teacher", "labels"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the weighted cross-entropy."""
        weights = F.softmax(signals.teacher, dim=-1).mean(dim=0).amax(dim=-1)  # (batch,)
        hard = F.cross_entropy(signals.student, signals.labels, reduction="none")
        return {"weighted": (weights * hard).sum() / weights.sum()}


@dataclass(frozen=True)
class PermutedDarkKnowledge(Distillation):
    """The teacher's probabilities, shuffled among all classes but its first (DKPP, section 3.3).

    p is the mean of the members' probabilities at the temperature T. Its greatest stays in place, the others
    go to each other's at random, another way for each sample and each step: what they say of the likeness of
    classes is lost, how sure the teacher is stays. The soft term is T^2 KL(permuted p || student at T); it
    and the labels' cross-entropy weigh `1 - hard_label_weight` and `hard_label_weight`.

    Attributes:
        temperature: T.
        hard_label_weight: share of the labels.
        fixed: keep each sample's permutation for the whole training.

    Raises:
        ConfigError: temperature not above 0, or weight outside 0..1.
    """

    method: ClassVar[str] = "permuted-dark-knowledge"
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti, Anandkumar 2018, arXiv:1805.04770"

    temperature: float = 1.0
    hard_label_weight: float = 0.0
    fixed: bool = False

    def __post_init__(self) -> None:
        require_temperature(self.method, self.temperature)
        require_share(self.method, hard_label_weight=self.hard_label_weight)

    @property
    def needs(self) -> frozenset[Need]:
        """Labels only where they weigh."""
        return frozenset({"teacher", "labels"} if self.hard_label_weight else {"teacher"})

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the soft and the hard term."""
        members = len(signals.teacher)
        log_teacher = F.log_softmax(signals.teacher / self.temperature, dim=-1).logsumexp(dim=0)
        log_target = self._permuted(log_teacher - math.log(members), signals)
        log_student = F.log_softmax(signals.student / self.temperature, dim=-1)
        divergence = F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)
        return {
            "soft": (1 - self.hard_label_weight) * self.temperature**2 * divergence,
            **hard_term(signals, self.hard_label_weight),
        }

    def at_temperature(self, temperature: float) -> PermutedDarkKnowledge:
        """Give this loss at another temperature."""
        return replace(self, temperature=temperature)

    def _permuted(self, values: Tensor, signals: Signals) -> Tensor:
        """Shuffle `values` (batch, classes), the greatest of each row stays."""
        batch, classes = values.shape
        rows = torch.arange(batch) if signals.rows is None else signals.rows
        step = 0 if self.fixed else round(signals.progress * STEPS)
        keys = _noise(rows[:, None] * classes + torch.arange(classes, device=rows.device), step)
        greatest = values.argmax(dim=1, keepdim=True)
        # Two orders of the classes that both begin with the greatest: by place, and at random.
        places = torch.arange(classes, device=rows.device).expand(batch, -1)
        in_order = places.scatter(1, greatest, -1).argsort(dim=1)
        at_random = keys.scatter(1, greatest, -1).argsort(dim=1)
        return values.scatter(1, in_order, values.gather(1, at_random))


def _noise(numbers: Tensor, step: int) -> Tensor:
    """Give each whole number another below 2^31 that has nothing to do with it, the same in every run.

    Two rounds of a mixing hash on 32 bits; a generator would make a loss of the order in which it is asked.
    """
    mixed = (numbers + step * 0x9E3779B9) & 0xFFFFFFFF
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) & 0x7FFFFFFF
