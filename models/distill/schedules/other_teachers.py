"""Teachers that a schedule makes on its way: students, and float networks of the build's teacher's shape."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from common.errors import ConfigError
from common.topology import Topology
from models.distill.method import Distillation
from models.distill.training.student_training import Trainee, teacher_of
from models.distill.training.transfer import TransferSet
from models.distill.training.workshop import Workshop
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
                Trainee(topology, loss, Student(topology))
            except ConfigError as error:
                raise ConfigError(
                    f"schedule {kind}: here students teach: {error}; or name no `pairs`, to match what fits"
                ) from error


def teacher_shape(kind: str, workshop: Workshop) -> nn.Module:
    """Give the first of the teacher's networks, for others of its shape.

    Raises:
        ConfigError: only the teacher's logits are there.
    """
    if not workshop.members:
        raise ConfigError(f"schedule {kind}: wants the teacher's network, and only its logits are there")
    return workshop.members[0]


def taught_by(workshop: Workshop, members: Sequence[nn.Module]) -> Workshop:
    """The workshop with other teachers: from samples (batch, features) to logits (batch, classes)."""
    split = workshop.transfer.split
    with deterministic(workshop.training.threads):
        logits = ensemble_logits(members, split.x)
    return replace(workshop, transfer=TransferSet(split, logits), members=tuple(members))


def validation_score(workshop: Workshop, members: Sequence[nn.Module]) -> float:
    """Score (0 to 1) of an ensemble on the validation split."""
    task, validation = workshop.task, workshop.dataset.validation
    with deterministic(workshop.training.threads):
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
    workshop: Workshop, name: str, like: nn.Module, loss: Distillation, epochs: int
) -> tuple[nn.Module, History]:
    """Train a fresh network of the same shape as `like`, from the workshop's teacher or labels.

    It is trained as the workshop's students are, on the same samples, `epochs` long. `name` tells its
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
        train=workshop.transfer.split,
        validation=workshop.dataset.validation,
        config=replace(workshop.training, epochs=epochs),
        input_shape=workshop.dataset.input_shape,
        augmentation=workshop.augmentation,
        hinter=teacher_of(loss, workshop.transfer, workshop.members, workshop.augmentation),
        task=workshop.task,
        label=name,
        checkpoint=workshop.checkpoints / f"{name}.safetensors" if workshop.checkpoints else None,
    )
    return fit(job, workshop.progress)
