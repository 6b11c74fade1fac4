"""What contrastive distillation remembers: the embedding of every sample, as each network last gave it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from models.distill.losses.adapters import Projector, unit
from models.distill.method import Signals

UNKNOWN = -1
"""The label of a sample that no step has shown yet."""


class ContrastMemory(nn.Module):
    """Projectors of one layer of each network, and banks of what they gave, keyed by a sample's row.

    All that it remembers is in buffers, and so in checkpoints. With several devices every step begins from
    the first device's banks.
    """

    student_bank: Tensor
    teacher_bank: Tensor
    labels: Tensor
    log_mean: Tensor

    def __init__(
        self, names: tuple[str, str], channels: tuple[int, int], dimensions: int, samples: int
    ) -> None:
        super().__init__()
        self.names = names
        self.student = Projector(channels[0], dimensions)
        self.teacher = Projector(channels[1], dimensions)
        for side in ("student", "teacher"):
            self.register_buffer(f"{side}_bank", unit(torch.randn(samples, dimensions)))
        self.register_buffer("labels", torch.full((samples,), UNKNOWN))
        # Of exp(similarity) over negatives, with the student as the anchor and with the teacher; the first
        # step measures it.
        self.register_buffer("log_mean", torch.full((2,), torch.nan))

    def embed(self, signals: Signals) -> tuple[Tensor, Tensor]:
        """Project both features of a step, the student's first: (batch, dimensions) of unit length."""
        own, other = self.names
        return self.student(signals.student_features[own]), self.teacher(signals.teacher_features[other])

    def negatives(self, drawn: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """Tell which of the `drawn` samples are negatives of which of `rows`: bool (rows, drawn).

        Never a sample of itself; with the labels of `rows`, none of the same class either. Samples that no
        step has shown yet count as of another class: what the banks hold of them is still random.
        """
        others = rows[:, None] != drawn
        return others if labels is None else others & (labels[:, None] != self.labels[drawn])

    def contrast(
        self, embedded: tuple[Tensor, Tensor], drawn: Tensor, negative: Tensor, temperature: float
    ) -> Tensor:
        """Sum the noise-contrastive losses of both anchors; `negative` tells which `drawn` samples count."""
        positive = (embedded[0] * embedded[1]).sum(dim=1) / temperature
        losses = []
        for side, bank in enumerate((self.teacher_bank, self.student_bank)):
            others = (embedded[side] @ bank[drawn].T / temperature)[negative]
            noise = self._log_mean(side, others) + math.log(len(drawn))
            losses.append(F.softplus(noise - positive).mean())
            if len(others):
                losses.append(len(drawn) * F.softplus(others - noise).mean())
        return torch.stack(losses).sum()

    def remember(
        self, embedded: tuple[Tensor, Tensor], rows: Tensor, labels: Tensor | None, momentum: float
    ) -> None:
        """Move the banks' entries of `rows` towards these embeddings, keeping a share `momentum` of them."""
        with torch.no_grad():
            for bank, new in zip((self.student_bank, self.teacher_bank), embedded, strict=True):
                bank[rows] = unit(momentum * bank[rows] + (1 - momentum) * new.detach().to(bank.dtype))
            if labels is not None:
                self.labels[rows] = labels

    def _log_mean(self, side: int, others: Tensor) -> Tensor:
        """Of exp(similarity), as the first step found it."""
        known = self.log_mean[side].clone()
        if not torch.isnan(known) or not len(others):
            return torch.nan_to_num(known)
        measured = others.detach().logsumexp(dim=0) - math.log(len(others))
        if self.training:
            self.log_mean[side] = measured
        return measured
