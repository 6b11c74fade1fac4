"""Multiple choice learning: ensembles of students, each of which specializes in the samples it does best.

Of every sample the `overlap` (k) members of least cost are assigned to it and train on its label. The methods
differ in what becomes of the other members. Losses sum over the members and are means over the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from common.errors import ConfigError
from common.settings import Count, NotNegative, check_settings
from models.distill.method import Temperature
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MultipleChoice:
    """Members learn the samples that they are assigned, and nothing of the others (stochastic MCL).

    Attributes:
        overlap: k, members assigned to each sample.
        beta: weight of what the members that are not assigned learn.
        assign: what assigned members are the least in: their cross-entropy with the label (`task`), or the
            whole loss, of all ways to assign k members (`loss`): the cross-entropy, less what being not
            assigned would cost.

    Raises `ConfigError`: a setting outside of its limits.
    """

    method: ClassVar[str] = "mcl"
    paper: ClassVar[str] = "Lee et al. 2016, arXiv:1606.07839"

    overlap: Count = 1
    beta: NotNegative = 0.0
    assign: Literal["task", "loss"] = "task"

    def __post_init__(self) -> None:
        check_settings(self, self.method)

    def check_members(self, members: int) -> None:
        """Check that an ensemble of so many can specialize so.

        Raises `ConfigError`: a single member, or fewer than are assigned to a sample.
        """
        if members < 2:
            raise ConfigError(
                f"{self.method}: an ensemble of {members} cannot specialize; give at least 2 members"
            )
        if self.overlap > members:
            raise ConfigError(
                f"{self.method}: overlap is {self.overlap}, of {members} members; give 1 to {members}"
            )

    def apart(self, logits: Tensor, base: Tensor) -> Tensor:
        """What members learn of samples that are not theirs: the loss (members, batch), without `beta`.

        Args:
            logits: of the members (members, batch, classes).
            base: likewise, of the members before they specialized.
        """
        return torch.zeros_like(logits[..., 0])

    def assigned(self, task: Tensor, apart: Tensor) -> Tensor:
        """Which members are assigned to each sample: bool (members, batch), `overlap` true in each column.

        Both costs are (members, batch). Of members with equal costs the first is assigned.
        """
        cost = task - self.beta * apart if self.assign == "loss" else task
        first = cost.detach().argsort(dim=0, stable=True)[: self.overlap]
        return torch.zeros_like(cost, dtype=torch.bool).scatter_(0, first, True)

    def terms(self, logits: Tensor, base: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the terms, whose sum is minimized; logits as `apart` takes them, labels int64 (batch,)."""
        members, batch, _ = logits.shape
        flat = F.cross_entropy(logits.flatten(0, 1), labels.repeat(members), reduction="none")
        task, apart = flat.view(members, batch), self.apart(logits, base)
        mine = self.assigned(task, apart)
        return {
            "task": task.where(mine, 0.0).sum() / batch,
            "apart": self.beta * apart.where(~mine, 0.0).sum() / batch,
        }


@dataclass(frozen=True, kw_only=True)
class ConfidentMultipleChoice(MultipleChoice):
    """CMCL: members that are not assigned learn to be unsure, KL(uniform || member)."""

    method: ClassVar[str] = "cmcl"
    paper: ClassVar[str] = "Lee, Hwang, Park, Shin 2017, arXiv:1706.03475"

    beta: NotNegative = 0.75

    def apart(self, logits: Tensor, base: Tensor) -> Tensor:
        """The divergences."""
        return -F.log_softmax(logits, dim=-1).mean(dim=-1) - math.log(logits.shape[-1])


@dataclass(frozen=True, kw_only=True)
class DistilledMultipleChoice(MultipleChoice):
    """MCL-KD: members that are not assigned learn to stay as they were, KL(base || member), softened by T.

    Each has its own base, the same student trained independently. As in the paper the divergence is not
    multiplied by T^2.

    Attributes:
        temperature: T.
    """

    method: ClassVar[str] = "mcl-kd"
    paper: ClassVar[str] = "Mun, Lee, Shin, Han 2018, NeurIPS"

    beta: NotNegative = 1.0
    temperature: Temperature = 1.0

    def apart(self, logits: Tensor, base: Tensor) -> Tensor:
        """The divergences."""
        member, target = (F.log_softmax(each / self.temperature, dim=-1) for each in (logits, base))
        return F.kl_div(member, target, reduction="none", log_target=True).sum(dim=-1)
