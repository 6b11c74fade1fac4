"""Where samples to learn from come from; settings of each are a table `[distill.data]` of the build file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.settings import Part, check_settings
from models.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.distill.training.setup import TrainingSetup
    from models.distill.training.transfer import TransferSet


@dataclass(frozen=True)
class Source(ABC):
    """A source of samples with the teacher's logits; a frozen dataclass whose fields are its settings.

    Raises `ConfigError`: a setting outside of its limits.
    """

    source: ClassVar[str]
    """Its name in the build file."""
    paper: ClassVar[str]
    """Authors, year, and arXiv number or venue."""
    tasks: ClassVar[frozenset[str] | None] = frozenset({"classification"})
    """The kinds of task that it serves; None for all."""
    labelled: ClassVar[bool] = True
    """Whether its samples have true labels. Those without are trained without looking at any label: no loss
    may need them, and the last epoch is kept, not the best on labelled samples."""

    def __post_init__(self) -> None:
        check_settings(self, f"data {self.source}")

    @abstractmethod
    def transfer(self, setup: TrainingSetup) -> TransferSet:
        """Make the transfer set, the same for the same seed of `setup.training`.

        Raises `ConfigError`: the settings do not fit the data set.
        """


@dataclass(frozen=True)
class TrainingData(Source):
    """The training split and its views, as the teacher stage made them; or a random share of each class.

    Attributes:
        share: of the training split; at least one sample a class stays.
    """

    source: ClassVar[str] = "training"
    paper: ClassVar[str] = "none: real samples"
    tasks: ClassVar[frozenset[str] | None] = None

    share: Part = 1.0

    def transfer(self, setup: TrainingSetup) -> TransferSet:
        """Take the share of each class, with all views of each sample that is taken."""
        whole = setup.transfer
        if self.share == 1:
            return whole
        count = len(setup.dataset.train)
        rng = np.random.default_rng(setup.training.seed)
        taken = []
        y = whole.split.y[:count]
        strata = y if y.ndim == 1 else np.zeros(count, np.int64)
        for stratum in np.unique(strata):
            (rows,) = np.nonzero(strata == stratum)
            taken.append(rng.permutation(rows)[: max(1, round(self.share * len(rows)))])
        first = np.sort(np.concatenate(taken))
        rows = np.concatenate([first + start for start in range(0, len(whole.split), count)])
        return whole.rows(rows)


def labelled_by(setup: TrainingSetup, x: NDArray[np.uint8]) -> TransferSet:
    """Let the teacher speak on samples x (n, features) that have no labels.

    Each label is the class that the mean of the members' probabilities gives.
    """
    from models.data import Split
    from models.distill.training.transfer import TransferSet
    from models.teachers.ensemble import ensemble_logits
    from models.training.evaluation import deterministic

    with deterministic(setup.training.threads):
        logits = ensemble_logits(setup.members, x)
    likely = torch.softmax(torch.from_numpy(logits), dim=-1).mean(dim=0).argmax(dim=-1)
    return TransferSet(Split(x, likely.numpy()), logits)
