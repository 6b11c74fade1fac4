"""Two stages: up to a hidden layer by features alone, then the whole student by the build file's losses."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from common.settings import Count
from models.distill.losses import FitNetHints, FlowOfSolution
from models.distill.method import Distillation, Need
from models.distill.schedules.base import Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from common.topology import Topology
    from models.distill.features import Pairs
    from models.distill.training.setup import Trained, TrainingSetup
    from models.students.student import Student


class FeaturesFirst(Schedule):
    """The layers that a loss on features reaches learn by it alone, before the build file's losses train all.

    The later layers begin from drawn weights. What the first loss trains beside the student stays behind.
    """

    needs = frozenset[Need]({"features"})

    @abstractmethod
    def first(self) -> tuple[str, FitNetHints | FlowOfSolution, int]:
        """Give the first stage's name, loss and epochs."""

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that both networks have the layers."""
        from models.students.student import Student

        self._matched(Student(topology), teacher)

    def run(self, setup: TrainingSetup) -> Trained:
        """Train by features, then by the losses."""
        return setup.distill(start=self._begun(setup))

    def _begun(self, setup: TrainingSetup) -> dict[str, Tensor]:
        """Train the first stage; give the weights of all layers up to the last that its loss reaches.

        No gradient comes to the layers behind, nor decay, but they gathered statistics: they are left out.
        """
        name, loss, epochs = self.first()
        # The classes are not learned yet, so that no epoch is better at them than another but by chance.
        student, _ = setup.trained_with(keep_best=False).distill(name, loss=loss, epochs=epochs)
        indices = {step.name: index for index, step in enumerate(student.topology.steps)}
        reached = max(indices[own] for own, _ in self._matched(student, setup.members[0]))
        return {
            name: weight
            for name, weight in student.state_dict().items()
            if int(name.split(".")[1]) <= reached  # layers.3.norm.weight
        }

    def _matched(self, student: Student, teacher: nn.Module) -> Pairs:
        from models.distill.features import shapes_of

        return self.first()[1].matched(shapes_of(student, teacher))


@dataclass(frozen=True)
class FitNets(FeaturesFirst):
    """Hints first: the layers up to the guided one learn to give the teacher's hint layer.

    Attributes:
        hint_epochs: of the first stage; the second takes the student's `epochs`.
        pairs: a guided layer and its hint layer, as in the method `hints`; the middle ones, if not given.
    """

    kind: ClassVar[str] = "fitnets"
    paper: ClassVar[str] = "Romero et al. 2015, arXiv:1412.6550"

    hint_epochs: Count = 5
    pairs: tuple[tuple[str, str], ...] = ()

    def first(self) -> tuple[str, FitNetHints, int]:
        """Hints."""
        return "hints", FitNetHints(self.pairs), self.hint_epochs


@dataclass(frozen=True)
class FspStages(FeaturesFirst):
    """Flows first: the layers that the flows reach learn the teacher's FSP matrices.

    Attributes:
        flow_epochs: of the first stage; the second takes the student's `epochs`.
        pairs: layers of the flows, as in the method `fsp`; those that fit, if none are given.
    """

    kind: ClassVar[str] = "fsp-stages"
    paper: ClassVar[str] = "Yim et al., CVPR 2017"

    flow_epochs: Count = 5
    pairs: tuple[tuple[str, str], ...] = ()

    def first(self) -> tuple[str, FlowOfSolution, int]:
        """Flows."""
        return "flows", FlowOfSolution(self.pairs), self.flow_epochs
