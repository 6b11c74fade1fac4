"""Ensembles of students that train together, so that each sample's loss looks at all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from common.topology import Topology
from models.data import Dataset
from models.distill.losses import HardLabels
from models.distill.losses.logits import ensemble_target
from models.distill.training.multiple_choice import MultipleChoice
from models.distill.training.setup import TrainingSetup
from models.distill.training.teacher_outputs import CachedTeacher
from models.distill.training.transfer import TransferSet
from models.students.student import Student
from models.teachers.ensemble import ensemble_logits
from models.training import Batch, History, Job, Progress, TrainingConfig, fit, silent
from models.training.evaluation import deterministic


class Members(nn.Module):
    """Students of one shape as one network."""

    def __init__(self, topology: Topology, members: int) -> None:
        super().__init__()
        self.students = nn.ModuleList(Student(topology) for _ in range(members))

    def forward(self, x: Tensor, *, apart: bool = False) -> Tensor:
        """From samples (batch, features) to the logs of mean probabilities (batch, classes).

        With `apart` the logits of each student (members, batch, classes).
        """
        logits = torch.stack([student(x) for student in self.students])
        return logits if apart else ensemble_target(logits, 1.0)


@dataclass(frozen=True)
class _Terms:
    """The terms of a loss that looks at all members, with the outputs of their bases."""

    loss: MultipleChoice

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return self.loss.terms(network(batch.x, apart=True), batch.teacher.logits, batch.y)


def independent(
    topology: Topology,
    dataset: Dataset,
    members: int,
    training: TrainingConfig,
    progress: Progress = silent,
) -> tuple[Student, ...]:
    """Train students by labels, each by itself, with the seeds from `training`'s on: the base models."""
    labels_only = TransferSet(dataset.train, np.empty((0, len(dataset.train), dataset.classes), np.float32))
    setup = TrainingSetup(topology, dataset, labels_only, (), HardLabels(), training, progress=progress)
    return tuple(
        setup.trained_with(seed=training.seed + index).distill(f"base {index}")[0] for index in range(members)
    )


def specialize(
    bases: Sequence[Student],
    dataset: Dataset,
    loss: MultipleChoice,
    training: TrainingConfig,
    progress: Progress = silent,
) -> tuple[tuple[Student, ...], History]:
    """Train an ensemble on from its base models, one member from each; gives it in evaluation mode.

    Accuracies of the history are those of the averaged ensemble.

    Raises `ConfigError`: a single member, or fewer than are assigned to a sample.
    """
    loss.check_members(len(bases))
    with deterministic(training.threads):
        logits = ensemble_logits(bases, dataset.train.x)
    job = Job(
        build=partial(Members, bases[0].topology, len(bases)),
        loss=_Terms(loss),
        train=dataset.train,
        validation=dataset.validation,
        config=training,
        input_shape=dataset.input_shape,
        teacher=CachedTeacher(logits),
        start={
            f"students.{index}.{name}": tensor
            for index, base in enumerate(bases)
            for name, tensor in base.state_dict().items()
        },
        label=f"ensemble ({loss.method})",
    )
    network, history = fit(job, progress)
    assert isinstance(network, Members)
    return tuple(student for student in network.students if isinstance(student, Student)), history
