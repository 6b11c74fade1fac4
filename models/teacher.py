"""Teachers: an ensemble of float multi-layer perceptrons with batch-norm (arXiv:1502.03167)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from models import checkpoint as checkpoints
from models.data import Dataset
from models.distill.transfer import TransferSet, shifted_views
from models.evaluation import predict
from models.training import Batch, History, Job, Progress, TrainingConfig, fit, silent
from pipeline.errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class TeacherConfig:
    """An ensemble of `members` networks with layers of `hidden` units, trained on `views` shifted views.

    Member i is trained with the seed of `training` plus i.

    Raises:
        ConfigError: no members, or a hidden layer without units.
    """

    members: int
    hidden: tuple[int, ...]
    training: TrainingConfig
    views: int = 1

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ConfigError(f"teacher: {self.members} members; give at least 1")
        if any(units < 1 for units in self.hidden):
            raise ConfigError(f"teacher: hidden is {list(self.hidden)}; give sizes of at least 1")


class Teacher(nn.Module):
    """From raw features (batch, inputs) to logits (batch, classes). The first norm scales the features."""

    def __init__(self, inputs: int, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
        width = inputs
        for units in hidden:
            layers += [nn.Linear(width, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        logits: Tensor = self.layers(x)
        return logits


@dataclass(frozen=True)
class CrossEntropy:
    """A teacher's loss: cross-entropy with the labels."""

    def __call__(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the one term."""
        return {"hard": F.cross_entropy(logits, batch.y)}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained teachers, in evaluation mode, and the history of each (empty for loaded ones)."""

    members: tuple[nn.Module, ...]
    histories: tuple[History, ...] = ()


def train_ensemble(
    config: TeacherConfig, dataset: Dataset, checkpoints_dir: Path | None = None, progress: Progress = silent
) -> Ensemble:
    """Train each member in turn, going on from the checkpoints in `checkpoints_dir` if it is given.

    Raises:
        ConfigError: several views of what is not an image.
        CheckpointError: a checkpoint is corrupt or another run's.
    """
    train = shifted_views(dataset.train, dataset.input_shape, config.views)
    results = []
    for index in range(config.members):
        label = f"teacher {index}"
        job = Job(
            build=partial(Teacher, dataset.features, config.hidden, dataset.classes),
            loss=CrossEntropy(),
            train=train,
            validation=dataset.validation,
            config=replace(config.training, seed=config.training.seed + index),
            label=label,
            checkpoint=checkpoints_dir / f"teacher{index}.safetensors" if checkpoints_dir else None,
        )
        results.append(fit(job, progress))
    members, histories = zip(*results, strict=True)
    return Ensemble(tuple(members), tuple(histories))


def ensemble_logits(members: Sequence[nn.Module], x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Evaluate every member on `x` uint8 (n, features): float32 (members, n, classes)."""
    return np.stack([predict(member, x) for member in members])


def make_transfer_set(members: Sequence[nn.Module], dataset: Dataset, views: int) -> TransferSet:
    """Make the set that students learn from: `views` shifted views of the training split, with all logits."""
    split = shifted_views(dataset.train, dataset.input_shape, views)
    return TransferSet(split, ensemble_logits(members, split.x))


def save_ensemble(members: Sequence[nn.Module], path: Path) -> None:
    """Write the weights of all members to one safetensors file."""
    checkpoints.save(path, {"members": [member.state_dict() for member in members]})


def load_ensemble(config: TeacherConfig, dataset: Dataset, path: Path) -> Ensemble:
    """Read back what `save_ensemble` wrote for the same configuration.

    Raises:
        CheckpointError: the file is corrupt, or holds other networks.
    """
    state = checkpoints.load(path)
    states = state.get("members") if isinstance(state, dict) else None
    if not isinstance(states, list) or len(states) != config.members:
        raise CheckpointError(f"{path}: does not hold {config.members} teachers; train them again")
    members = []
    for index, weights in enumerate(states):
        member = Teacher(dataset.features, config.hidden, dataset.classes).eval()
        checkpoints.restore(member, weights, f"{path}, teacher {index}")
        members.append(member)
    return Ensemble(tuple(members))
