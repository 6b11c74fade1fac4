"""Hints from a teacher's hidden layer (arXiv:1412.6550)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.distill.method import Distillation, Need, Signals
from models.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.distill.features import Pairs, Shapes


@dataclass(frozen=True)
class FitNetHints(Distillation):
    """Regression from a guided layer of the student to a hint layer of the teacher.

    Half the squared difference of the teacher's feature and the student's, regressed by a 1 by 1 convolution
    to as many channels, as a mean over batch, channels and pixels (a sum in the paper, equation 3), summed
    over the pairs. Where the sizes differ, the larger is averaged to the smaller; the paper chooses a larger
    kernel. It says nothing of the logits: give it another loss beside, or the schedule `fitnets`.

    Attributes:
        pairs: names of a guided layer and its hint layer; the middle of those that fit, if none are given.
    """

    method: ClassVar[str] = "hints"
    paper: ClassVar[str] = "Romero et al. 2015, arXiv:1412.6550"
    whole: ClassVar[bool] = False

    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def matched(self, shapes: Shapes) -> Pairs:
        """Give the guided layers with their hint layers.

        Raises:
            ConfigError: a name that is not there, or no hidden layers.
        """
        found = shapes.pairs(self.pairs, self.method)
        # Of two middles the earlier: a deep guided layer leaves the student little freedom (section 2.2).
        return found if self.pairs else (found[(len(found) - 1) // 2],)

    def adapters(self, shapes: Shapes) -> nn.Module:
        """A regressor for each pair."""
        from models.distill.losses.adapters import Paired, Regressor

        pairs = self.matched(shapes)
        return Paired(pairs, (Regressor(shapes.student[own], shapes.teacher[other]) for own, other in pairs))

    def terms(self, signals: Signals, adapters: nn.Module | None = None) -> dict[str, Tensor]:
        """Compute the mean squared difference."""
        from models.distill.losses.adapters import Paired

        assert isinstance(adapters, Paired)
        layers = zip(adapters, adapters.features(signals), strict=True)
        return {"hint": torch.stack([0.5 * F.mse_loss(*regress(*both)) for regress, both in layers]).sum()}
