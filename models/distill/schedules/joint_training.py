"""A student and its teacher that learn together, and from each other (arXiv:1911.12491, section 3.3)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from common.topology import Topology
from models.distill.features import tapped
from models.distill.method import Distillation
from models.distill.training.setup import TrainingSetup
from models.distill.training.student_training import PREFIX, OwnTerms, StudentInTraining
from models.distill.training.teacher_outputs import TeacherOutputs
from models.students.student import Student
from models.training import Batch, History, fit


class JointTraining(nn.Module):
    """A student, its loss and all members of the teacher in one network, whose output is the student's.

    Args:
        topology: of the student.
        loss: the student's; it sees the teacher as it is in this step, without gradients.
        members: whose shapes and first weights the teacher has.
        temperature: T of what the teacher learns from the student.
        samples: size of the transfer set.
    """

    def __init__(
        self,
        topology: Topology,
        loss: Distillation,
        members: Sequence[nn.Module],
        temperature: float,
        samples: int,
    ) -> None:
        super().__init__()
        self.learner = StudentInTraining(topology, loss, members[0], samples)
        self.members = nn.ModuleList(deepcopy(member) for member in members)
        for parameter in self.members.parameters():
            parameter.requires_grad_()
        self.temperature = temperature

    def forward(self, x: Tensor, batch: Batch | None = None) -> Any:
        """Give the student's logits (batch, classes); with a batch, the terms of both."""
        if batch is None:
            return self.learner(x)
        with tapped(self.members[0]) as found:
            logits = self._ask(x)
        features = {name: value.detach() for name, value in found.items()}
        hints = TeacherOutputs(logits.detach(), features, self._ask_quietly)
        signals = self.learner.signals(x, batch._replace(teacher=hints))
        terms: dict[str, Tensor] = dict(self.learner.loss.terms(signals, self.learner.adapters))
        return terms | self._teacher_terms(logits, signals.student.detach(), batch.y)

    def _ask(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members])

    def _ask_quietly(self, x: Tensor) -> Tensor:
        """Evaluate the members as they will be used, their batch statistics left alone."""
        mode = self.members.training
        self.members.eval()
        logits = self._ask(x)
        self.members.train(mode)
        return logits

    def _teacher_terms(self, logits: Tensor, student: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Each member's cross-entropy and T^2 KL(student || member at T), summed over the members."""
        log_target = F.log_softmax(student / self.temperature, dim=-1).expand(logits.shape).flatten(0, 1)
        log_members = F.log_softmax(logits / self.temperature, dim=-1).flatten(0, 1)
        divergence = F.kl_div(log_members, log_target, reduction="sum", log_target=True) / len(labels)
        hard = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="sum")
        return {"teacher.hard": hard / len(labels), "teacher.soft": self.temperature**2 * divergence}


@dataclass(frozen=True, eq=False)
class _Build:
    """Makes the pair; the members' weights are in the job's `start`."""

    topology: Topology
    loss: Distillation
    members: Sequence[nn.Module]
    temperature: float
    samples: int

    def __call__(self) -> JointTraining:
        return JointTraining(self.topology, self.loss, self.members, self.temperature, self.samples)

    def __repr__(self) -> str:
        return repr((self.topology, self.loss, list(self.members), self.temperature))


def train_jointly(
    setup: TrainingSetup, name: str, student: Student, temperature: float, epochs: int
) -> tuple[Student, tuple[nn.Module, ...], History]:
    """Train student and teacher together, from their weights as they are; gives both, in evaluation mode.

    One optimizer trains all, and its checkpoint holds all, so that a run that was killed ends with the same
    bits. Kept are both as they were in the student's best epoch.

    Raises `CheckpointError`: the checkpoint is corrupt or another run's.
    """
    weights = {f"learner.{PREFIX}{key}": tensor for key, tensor in student.state_dict().items()}
    for index, member in enumerate(setup.members):
        weights |= {f"members.{index}.{key}": tensor for key, tensor in member.state_dict().items()}
    build = _Build(setup.topology, setup.loss, setup.members, temperature, len(setup.transfer.split))
    job = setup.job(name, build, OwnTerms(setup.loss), epochs, start=weights)
    network, history = fit(job, setup.progress)
    assert isinstance(network, JointTraining)
    return network.learner.student, tuple(network.members), history
