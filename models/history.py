"""What a training run came to, epoch by epoch. Imports no framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        loss: mean over the batches.
        terms: means of the loss's terms, by name.
        validation_score: the task's score on the validation split, 0 to 1.
    """

    loss: float
    terms: dict[str, float]
    validation_score: float


@dataclass(frozen=True)
class History:
    """Every epoch of a run.

    Attributes:
        epochs: in order.
        chosen: which of them gave the final weights, counted from 0.
        measured: validation scores, 0 to 1, of what a run of several steps made on the way.
    """

    epochs: tuple[Epoch, ...]
    chosen: int
    measured: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.epochs):
            raise ValueError(f"epoch {self.chosen} of {len(self.epochs)} chosen")

    @property
    def validation_score(self) -> float:
        """The score of the final weights."""
        return self.epochs[self.chosen].validation_score
