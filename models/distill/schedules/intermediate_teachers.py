"""Teachers that a schedule makes on its way: students, and float networks of the build's teacher's shape."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from common.errors import ConfigError
from common.topology import Topology
from models.distill.method import Distillation
from models.distill.training.setup import TrainingSetup
from models.distill.training.student_training import StudentInTraining, teacher_of
from models.distill.training.transfer import TransferSet
from models.students.student import Student
from models.teachers import ensemble_logits
from models.training import History, Job, NetworkTerms, fit
from models.training.evaluation import deterministic


def require_teaching(kind: str, loss: Distillation, topology: Topology | None = None) -> None:
    """Check, before anything is trained, that a loss can learn from the teachers that a schedule makes.

    `topology` is of those teachers, where they are students.

    Raises:
        ConfigError: the loss asks for no teacher, or wants layers that a student lacks.
    """
    if loss.needs <= {"labels"}:
        raise ConfigError(f"schedule {kind}: no loss learns from a teacher; add one that does to `losses`")
    if topology is not None:
        with torch.random.fork_rng():
            try:
                StudentInTraining(topology, loss, Student(topology))
            except ConfigError as error:
                raise ConfigError(
                    f"schedule {kind}: here students teach: {error}; or name no `pairs`, to match what fits"
                ) from error


def teacher_shape(kind: str, setup: TrainingSetup) -> nn.Module:
    """Give the first of the teacher's networks, for others of its shape.

    Raises:
        ConfigError: only the teacher's logits are there.
    """
    if not setup.members:
        raise ConfigError(f"schedule {kind}: wants the teacher's network, and only its logits are there")
    return setup.members[0]


def taught_by(setup: TrainingSetup, members: Sequence[nn.Module]) -> TrainingSetup:
    """The setup with other teachers: from samples (batch, features) to logits (batch, classes)."""
    split = setup.transfer.split
    with deterministic(setup.training.threads):
        logits = ensemble_logits(members, split.x)
    return replace(setup, transfer=TransferSet(split, logits), members=tuple(members))


def validation_score(setup: TrainingSetup, members: Sequence[nn.Module]) -> float:
    """Score (0 to 1) of an ensemble on the validation split."""
    task, validation = setup.task, setup.dataset.validation
    with deterministic(setup.training.threads):
        return task.score(task.combine(ensemble_logits(members, validation.x)), validation)


@dataclass(frozen=True, eq=False)
class _Fresh:
    """Makes an untrained network of the same shape."""

    like: nn.Module

    def __call__(self) -> nn.Module:
        network = deepcopy(self.like)
        for name, module in network.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
            elif any(True for _ in module.parameters(recurse=False)):
                raise ConfigError(
                    f"schedule: layer {name} of the teacher, a {type(module).__name__}, cannot be drawn "
                    "anew; give it reset_parameters, or take another schedule"
                )
        return network

    def __repr__(self) -> str:
        return repr(self.like)


def train_network(
    setup: TrainingSetup, name: str, like: nn.Module, loss: Distillation, epochs: int
) -> tuple[nn.Module, History]:
    """Train a fresh network of the same shape as `like`, from the setup's teacher or labels.

    It is trained as the setup's students are, on the same samples, `epochs` long. `name` tells its
    checkpoint from others. Gives it in evaluation mode.

    Raises:
        ConfigError: the loss looks at more than logits and labels, or a layer cannot be drawn anew.
        CheckpointError: the checkpoint is corrupt or another run's.
    """
    if not loss.needs <= {"teacher", "labels"}:
        raise ConfigError(f"schedule: {name}: {loss} wants more than logits and labels; take another loss")
    job = Job(
        build=_Fresh(like),
        loss=NetworkTerms(loss),
        train=setup.transfer.split,
        validation=setup.dataset.validation,
        config=replace(setup.training, epochs=epochs),
        input_shape=setup.dataset.input_shape,
        augmentation=setup.augmentation,
        hinter=teacher_of(loss, setup.transfer, setup.members, setup.augmentation),
        task=setup.task,
        label=name,
        checkpoint=setup.checkpoints / f"{name}.safetensors" if setup.checkpoints else None,
    )
    return fit(job, setup.progress)
