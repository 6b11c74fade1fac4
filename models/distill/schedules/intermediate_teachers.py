"""Teachers that a schedule trains on the way: students, and float networks of the build's teacher's shape."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from common.errors import ConfigError
from common.topology import Topology
from models.distill.method import Distillation
from models.distill.training.setup import TrainingSetup
from models.distill.training.student_training import StudentInTraining
from models.students.student import Student
from models.training import History, NetworkTerms, fit


def require_teaching(kind: str, loss: Distillation, topology: Topology | None = None) -> None:
    """Check, before anything is trained, that a loss can learn from the teachers that a schedule makes.

    `topology` is of those teachers, where they are students.

    Raises `ConfigError`: the loss asks for no teacher, or wants layers that a student lacks.
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
    """Train a fresh network of the same shape as `like` as the setup's students are.

    `name` tells its checkpoint from others. Gives the network in evaluation mode.

    Raises `ConfigError`: the loss looks at more than logits and labels, or a layer cannot be drawn anew.
    Raises `CheckpointError`: the checkpoint is corrupt or another run's.
    """
    if not loss.needs <= {"teacher", "labels"}:
        raise ConfigError(f"schedule: {name}: {loss} wants more than logits and labels; take another loss")
    job = setup.job(name, _Fresh(like), NetworkTerms(loss), epochs, teacher=setup.teacher_for(loss))
    return fit(job, setup.progress)
