"""What the methods on logits share: softened probabilities, their divergence, Z-scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 1e-14
"""Of values whose squared distances from their mean come to less, all are taken as equal."""


def ensemble_target(teacher: Tensor, temperature: float) -> Tensor:
    """From logits (members, batch, classes) to logs of their mean softened probabilities (batch, classes)."""
    return F.log_softmax(teacher / temperature, dim=-1).logsumexp(dim=0) - math.log(len(teacher))


def divergence(log_target: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T^2 KL(target || student softened by T), the mean over the batch; logits (batch, classes)."""
    log_student = F.log_softmax(student / temperature, dim=-1)
    return temperature**2 * F.kl_div(log_student, log_target, reduction="batchmean", log_target=True)


def standardized(logits: Tensor) -> Tensor:
    """Z-scores over the classes of each sample: mean 0 and variance 1; 0 where all are equal."""
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / root(centred.square().mean(dim=-1, keepdim=True))


def root(squares: Tensor) -> Tensor:
    """Square roots to divide by: 1 in place of next to nothing, whose gradient would have no bound."""
    return torch.where(squares > CONSTANT, squares, 1.0).sqrt()
