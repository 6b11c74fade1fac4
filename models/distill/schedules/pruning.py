"""Compression before distillation: a student is trained, pruned, and distilled again from what is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt, Le

from common.errors import ConfigError
from common.settings import Count, Fraction, Positive
from models.distill.method import Distillation
from models.distill.schedules.base import Criterion, Schedule
from models.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from common.topology import Topology
    from models.distill.training.setup import Trained, TrainingSetup


class Pruning(Schedule):
    """A schedule that removes parts of a trained student, and trains the rest at `rate` times the rate."""

    rate: float
    samples: int

    def _again(self, setup: TrainingSetup) -> TrainingSetup:
        return setup.trained_with(learning_rate=self.rate * setup.training.learning_rate)

    def _drawn(self, setup: TrainingSetup) -> NDArray[np.uint8]:
        """Samples of the transfer set, the same for the same seed."""
        x = setup.transfer.split.x
        return x[np.random.default_rng(setup.training.seed).permutation(len(x))[: self.samples]]


@dataclass(frozen=True)
class Prune(Pruning):
    """Train, set weights to zero, distil the others again; what is zero stays zero in the integer network.

    After round r of `rounds` the share of zeros is 1 - (1 - sparsity)^(r / rounds): each takes the same share
    of what is left. Criteria:

    - magnitude: |w| over the layer's standard deviation (Han et al. 2015, arXiv:1506.02626)
    - obd: h w^2 / 2, h the diagonal of the Gauss-Newton matrix (optimal brain damage, LeCun et al. 1990)
    - obs: layer-wise optimal brain surgeon, which adjusts the weights that stay (Hassibi, Stork 1993;
      arXiv:1705.07565); takes a layer's outputs times the cube of its inputs

    Binary weights have no zero: `check` refuses them.

    Attributes:
        criterion: which weights go first.
        sparsity: share of all weights that are zero in the end.
        rounds: of pruning and training again.
        rate: learning rate of training again, as a share of the build file's (a tenth in Han et al.).
        samples: of the transfer set, for second derivatives.
        damping: added to the inputs' moments before they are inverted, times their mean diagonal (obs).
    """

    kind: ClassVar[str] = "prune"
    paper: ClassVar[str] = "Han et al. 2015, arXiv:1506.02626; LeCun et al. 1990; Hassibi, Stork 1993"

    criterion: Criterion = "magnitude"
    sparsity: Fraction = 0.5
    rounds: Count = 1
    rate: Positive = 0.1
    samples: Count = 256
    damping: Positive = 1e-3

    def check(self, topology: Topology, teacher: nn.Module | None, loss: Distillation) -> None:
        """Refuse binary weights."""
        for step in topology.steps:
            if getattr(step.layer, "weight_bits", None) == 1:
                raise ConfigError(
                    f"{self.kind}: {step.name} has 1-bit weights, which have no zero; give it 2 bits or more"
                )

    def run(self, setup: TrainingSetup) -> Trained:
        """Train densely, then prune and train again in each round."""
        from models.distill.schedules.compression import prune_weights
        from models.training.evaluation import deterministic

        self.check(setup.topology, None, setup.loss)
        student, history = setup.distill("dense")
        x = self._drawn(setup)
        for number in range(1, self.rounds + 1):
            share = 1 - (1 - self.sparsity) ** (number / self.rounds)
            with deterministic(setup.training.threads):
                start, masks = prune_weights(student, self.criterion, share, x, self.damping)
            student, history = self._again(setup).distill(f"pruned {number}", start=start, masks=masks)
        return student, history


@dataclass(frozen=True)
class PruneChannels(Pruning):
    """Train a wider student, leave the channels that count most, as many as asked, and distil again.

    Channels that layers share, such as those of the two sides of a residual layer, go together. Criteria:

    - magnitude: mean size of the filters that give the channel (Li et al. 2016, arXiv:1608.08710)
    - obd: sum of the saliencies h w^2 / 2 of the weights that take it
    - obs: what the accumulators that take it lose, once their other weights are adjusted

    Attributes:
        criterion: which channels stay.
        factor: width of the wider student's hidden layers over the build file's.
        rate: learning rate of training again, as a share of the build file's.
        samples: of the transfer set, for second derivatives.
        damping: added to the inputs' moments before they are inverted, times their mean diagonal (obs).
    """

    kind: ClassVar[str] = "prune-channels"
    paper: ClassVar[str] = "Li et al. 2016, arXiv:1608.08710; LeCun et al. 1990; Hassibi, Stork 1993"

    criterion: Criterion = "magnitude"
    factor: Annotated[float, Gt(1), Le(100)] = 2.0
    rate: Positive = 1.0
    samples: Count = 256
    damping: Positive = 1e-3

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Refuse students that have no channels to remove."""
        self._wider(topology)

    def run(self, setup: TrainingSetup) -> Trained:
        """Train the wider student, prune it, train again."""
        from models.distill.schedules.channels import Channels
        from models.distill.schedules.compression import prune_channels
        from models.training.evaluation import deterministic

        wide, _ = replace(setup, topology=self._wider(setup.topology)).distill("wide")
        channels, x = Channels(setup.topology), self._drawn(setup)
        with deterministic(setup.training.threads):
            start = prune_channels(wide, channels, self.criterion, x, self.damping)
        return self._again(setup).distill("narrow", start=start)

    def _wider(self, topology: Topology) -> Topology:
        from models.distill.schedules.channels import Channels

        channels = Channels(topology)
        if not channels.free:
            raise ConfigError(
                f"{self.kind}: the student has no hidden channels to remove; give it a layer more"
            )
        return channels.widened(self.factor)
