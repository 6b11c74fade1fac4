"""Ensembles of teachers: training, evaluating, keeping them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import CheckpointError, ConfigError
from models.augmentation import Augmentation
from models.data import Dataset
from models.distill.training.transfer import TransferSet, shifted_views
from models.tasks import CLASSIFICATION, Task
from models.teachers.networks import Architecture
from models.training import History, Job, NetworkTerms, Progress, TrainingConfig, fit, silent
from models.training import checkpoint as checkpoints
from models.training.evaluation import predict


class Teacher(nn.Module):
    """An architecture's network: from values (batch, features) in 0 to 255 to outputs (batch, outputs)."""

    def __init__(self, architecture: Architecture, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layers = architecture.layers(input_shape, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs."""
        outputs: Tensor = self.layers(x)
        return outputs


@dataclass(frozen=True)
class TeacherConfig:
    """An ensemble of `members` networks of each architecture.

    Member i is trained with the seed of `training` plus i; those of the first architecture come first. With
    an augmentation they learn from the training split, augmented anew each epoch; without, from its views.

    Attributes:
        networks: the architectures.
        training: how each member is trained.
        members: networks of each architecture.
        views: shifted views of each sample in the transfer set.
        mirror: whether the views come in pairs with their mirror images.
        augmentation: what happens to the samples that the members learn from.
        label_smoothing: share of the target that is spread over all classes (arXiv:1512.00567, section 7).

    Raises `ConfigError`: no networks, no members, or a smoothing outside of 0 to 1.
    """

    networks: tuple[Architecture, ...]
    training: TrainingConfig
    members: int = 1
    views: int = 1
    mirror: bool = False
    augmentation: Augmentation | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not self.networks:
            raise ConfigError("teacher: no networks; give at least one")
        if self.members < 1:
            raise ConfigError(f"teacher: {self.members} members; give at least 1")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"teacher: label_smoothing is {self.label_smoothing}; give 0 or more, below 1")

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Of all members of the ensemble."""
        return tuple(network for network in self.networks for _ in range(self.members))


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained teachers, in evaluation mode, and the history of each (empty for loaded ones)."""

    members: tuple[nn.Module, ...]
    histories: tuple[History, ...] = ()


def train_ensemble(
    config: TeacherConfig,
    dataset: Dataset,
    checkpoints_dir: Path | None = None,
    progress: Progress = silent,
    task: Task = CLASSIFICATION,
) -> Ensemble:
    """Train each member in turn, going on from the checkpoints in `checkpoints_dir` if it is given.

    Raises `ConfigError`: a network, the views or the augmentation do not fit the samples, or a network the
    machine's memory; or training diverges. Raises `CheckpointError`: a checkpoint is corrupt or another
    run's.
    """
    outputs = task.outputs(dataset.input_shape, dataset.classes)
    loss = NetworkTerms(task.labels_only(config.label_smoothing))
    with torch.device("meta"):  # what does not fit is found before the first is trained, at no cost
        for network in config.networks:
            _check_memory(network, network.layers(dataset.input_shape, outputs))
    train = dataset.train
    if config.augmentation is None:
        train = shifted_views(train, dataset.input_shape, config.views, config.mirror)
    results = []
    for index, architecture in enumerate(config.architectures):
        job = Job(
            build=partial(Teacher, architecture, dataset.input_shape, outputs),
            loss=loss,
            train=train,
            validation=dataset.validation,
            config=replace(config.training, seed=config.training.seed + index),
            augmentation=config.augmentation,
            input_shape=dataset.input_shape,
            task=task,
            label=f"teacher {index}",
            checkpoint=checkpoints_dir / f"teacher{index}.safetensors" if checkpoints_dir else None,
        )
        results.append(fit(job, progress))
    members, histories = zip(*results, strict=True)
    return Ensemble(tuple(members), tuple(histories))


def _check_memory(network: Architecture, layers: nn.Module) -> None:
    """Raise `ConfigError` for a network that this machine cannot hold in training."""
    # In float32: weights, their gradients, and the optimizer's two moments.
    needed = 16 * sum(each.numel() for each in layers.parameters())
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise ConfigError(
            f"teacher {network.kind}: its training takes {needed >> 30} GB of memory, this machine has"
            f" {there >> 30} GB; give a smaller network"
        )


def ensemble_logits(members: Sequence[nn.Module], x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Evaluate every member on `x` uint8 (n, features): float32 (members, n, outputs)."""
    return np.stack([predict(member, x) for member in members])


def make_transfer_set(
    members: Sequence[nn.Module], dataset: Dataset, views: int, mirror: bool = False
) -> TransferSet:
    """Make the set that students learn from: `views` views of the training split, with all logits."""
    split = shifted_views(dataset.train, dataset.input_shape, views, mirror)
    return TransferSet(split, ensemble_logits(members, split.x))


def save_ensemble(members: Sequence[nn.Module], path: Path) -> None:
    """Write the weights of all members to one safetensors file."""
    checkpoints.save(path, {"members": [member.state_dict() for member in members]})


def load_ensemble(
    config: TeacherConfig, dataset: Dataset, path: Path, task: Task = CLASSIFICATION
) -> Ensemble:
    """Read back what `save_ensemble` wrote for the same configuration.

    Raises `CheckpointError`: the file is corrupt, or holds other networks.
    """
    state = checkpoints.load(path)
    states = state.get("members") if isinstance(state, dict) else None
    architectures = config.architectures
    if not isinstance(states, list) or len(states) != len(architectures):
        raise CheckpointError(f"{path}: does not hold {len(architectures)} teachers; train them again")
    members, outputs = [], task.outputs(dataset.input_shape, dataset.classes)
    for index, (architecture, weights) in enumerate(zip(architectures, states, strict=True)):
        member = Teacher(architecture, dataset.input_shape, outputs).eval()
        checkpoints.restore(member, weights, f"{path}, teacher {index}")
        members.append(member)
    return Ensemble(tuple(members))
