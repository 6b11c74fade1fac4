"""Two stages: up to a hidden layer by features alone, then the whole student by the build file's losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.settings import Count
from models.distill.losses import FitNetHints, FlowOfSolution
from models.distill.method import Distillation, Need
from models.distill.schedules.base import Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from common.topology import Topology
    from models.distill.features import Shapes
    from models.distill.training.setup import TrainingSetup
    from models.students.student import Student
    from models.training import History

FeatureLoss = FitNetHints | FlowOfSolution


@dataclass(frozen=True)
class FitNets(Schedule):
    """TeacherOutputs first: the layers up to the guided one learn to give the teacher's hint layer, alone.

    Then the losses of the build file train the whole student from there, the later layers from drawn weights.
    The regressor stays behind.

    Attributes:
        hint_epochs: of the first stage; the second takes the student's `epochs`.
        pairs: a guided layer and its hint layer, as in the method `hints`; the middle ones, if not given.
    """

    kind: ClassVar[str] = "fitnets"
    paper: ClassVar[str] = "Romero et al. 2015, arXiv:1412.6550"

    hint_epochs: Count = 5
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that both networks have the layers."""
        _check(FitNetHints(self.pairs), topology, teacher)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train by hints, then by the losses."""
        return setup.distill(start=_begun(setup, "hints", FitNetHints(self.pairs), self.hint_epochs))


@dataclass(frozen=True)
class FspStages(Schedule):
    """Flows first: the layers that the flows reach learn the teacher's FSP matrices, alone.

    Then the losses of the build file train the whole student from there, the later layers from drawn weights.

    Attributes:
        flow_epochs: of the first stage; the second takes the student's `epochs`.
        pairs: layers of the flows, as in the method `fsp`; those that fit, if none are given.
    """

    kind: ClassVar[str] = "fsp-stages"
    paper: ClassVar[str] = "Yim et al., CVPR 2017"

    flow_epochs: Count = 5
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """Features of both networks."""
        return frozenset({"features"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that both networks have the layers."""
        _check(FlowOfSolution(self.pairs), topology, teacher)

    def run(self, setup: TrainingSetup) -> tuple[Student, History]:
        """Train by flows, then by the losses."""
        return setup.distill(start=_begun(setup, "flows", FlowOfSolution(self.pairs), self.flow_epochs))


def _check(loss: FeatureLoss, topology: Topology, teacher: nn.Module) -> None:
    from models.students.student import Student

    _matched(loss, Student(topology), teacher)


def _begun(setup: TrainingSetup, name: str, loss: FeatureLoss, epochs: int) -> dict[str, Tensor]:
    """Train by `loss` alone; give the weights of all layers up to the last that it reaches.

    No gradient comes to the layers behind, nor decay, but they gathered statistics: they are left out.
    """
    # The classes are not learned yet, so that no epoch is better at them than another but by chance.
    training = replace(setup.training, keep_best=False)
    student, _ = replace(setup, training=training).distill(name, loss=loss, epochs=epochs)
    matched = _matched(loss, student, setup.members[0])
    places = {step.name: place for place, step in enumerate(student.topology.steps)}
    reached = max(places[own] for own, _ in matched)
    return {
        name: weight
        for name, weight in student.state_dict().items()
        if int(name.split(".")[1]) <= reached  # layers.3.norm.weight
    }


def _matched(loss: FeatureLoss, student: Student, teacher: nn.Module) -> tuple[tuple[str, str], ...]:
    from models.distill.features import shapes_of

    shapes: Shapes = shapes_of(student, teacher)
    return loss.matched(shapes)
