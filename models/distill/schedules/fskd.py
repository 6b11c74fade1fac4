"""FSKD: few unlabelled samples, and layers aligned with the teacher's by least squares (arXiv:1812.01839)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from common.errors import ConfigError
from common.settings import Count, Fraction, Positive
from models.distill.method import Distillation, Need
from models.distill.schedules.base import Schedule
from models.lazy import np, torch

if TYPE_CHECKING:
    from torch import nn

    from common.topology import Topology
    from models.distill.features import Pairs, Shapes
    from models.distill.training.setup import Trained, TrainingSetup
    from models.distill.training.transfer import TransferSet


@dataclass(frozen=True)
class Fskd(Schedule):
    """Distil on few samples, align layer by layer, distil on.

    Of the paper: few samples without labels; a 1 by 1 convolution Q behind each block of the student,
    estimated by least squares on the teacher's output of that block, from the first block to the last, each
    with the blocks before it aligned; Q absorbed into the block's weights, W' = Q W.

    Other than in the paper: its students are pruned or decomposed teachers, so that channel i of both is the
    same thing. A student of any shape is first distilled for `start_share` of the epochs, and its block is
    aligned with what a linear map makes of the teacher's channels, itself a least squares fit to the
    student's own. The block's output is taken before its quantizer, the teacher's behind its activation. W'
    is quantized anew, batch-norm fitted to the accumulators that this gives; a layer that would come out
    farther from its target than it was is left alone. Then the student is distilled for the rest of the
    epochs; the paper stops before. Residual and depthwise layers and the logits are not aligned.

    Attributes:
        samples_per_class: kept of the transfer set, drawn at random; the classes are the teacher's.
        start_share: of the epochs, before the alignment.
        ridge: keeps Q near to identity, in units of the mean variance; for few samples of many channels.
        pairs: layers of student and teacher; where empty, those that fit.
    """

    kind: ClassVar[str] = "fskd"
    paper: ClassVar[str] = "Li et al. 2018, arXiv:1812.01839"

    samples_per_class: Count = 20
    start_share: Fraction = 0.5
    ridge: Positive = 0.01
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def needs(self) -> frozenset[Need]:
        """The teacher, whatever the losses."""
        return frozenset({"teacher"})

    def check(self, topology: Topology, teacher: nn.Module, loss: Distillation) -> None:
        """Check that there are layers to align.

        Raises `ConfigError`: none are, or one that is named cannot be aligned.
        """
        from models.distill.features import shapes_of
        from models.students.student import Student

        self.matched(topology, shapes_of(Student(topology), teacher))

    def matched(self, topology: Topology, shapes: Shapes) -> Pairs:
        """The layers to align. Raises `ConfigError`: as `check`."""
        from models.distill.schedules.alignment import aligned_layers

        name, able = f"schedule {self.kind}", aligned_layers(topology)
        if not able:
            raise ConfigError(
                f"{name}: the student has no hidden dense layer or convolution outside of residual layers; "
                "take another schedule"
            )
        for layer, _ in self.pairs:
            if layer in shapes.student and layer not in able:
                raise ConfigError(f"{name}: pairs: {layer} cannot be aligned; there are {', '.join(able)}")
        found = tuple(pair for pair in shapes.pairs(self.pairs, name) if pair[0] in able)
        if not found:
            raise ConfigError(f"{name}: no layers found to align; name them in `pairs`, of {', '.join(able)}")
        return found

    def run(self, setup: TrainingSetup) -> Trained:
        """Distil, align, distil."""
        from models.distill.features import shapes_of
        from models.distill.schedules.alignment import align
        from models.training.evaluation import deterministic

        if not setup.members:
            raise ConfigError(f"schedule {self.kind}: there is no teacher to align with; train one")
        few = replace(setup, transfer=self.few(setup))
        epochs = setup.training.epochs
        first = min(max(1, round(self.start_share * epochs)), max(1, epochs - 1))
        student, _ = few.distill("before alignment", epochs=first)
        teacher = setup.members[0]
        pairs = self.matched(setup.topology, shapes_of(student, teacher))
        with deterministic(setup.training.threads):
            align(student, teacher, pairs, torch.from_numpy(few.transfer.split.x).float(), self.ridge)
        return few.distill(epochs=max(1, epochs - first), start=student.state_dict())

    def few(self, setup: TrainingSetup) -> TransferSet:
        """Take some samples of each class that the teacher sees in the transfer set.

        Raises `ConfigError`: fewer than two are left, too few for batch-norm.
        """
        whole = setup.transfer
        classes = torch.softmax(torch.from_numpy(whole.logits), dim=-1).mean(dim=0).argmax(dim=-1).numpy()
        rng = np.random.default_rng(setup.training.seed)
        shuffled = rng.permutation(len(classes))
        taken = [shuffled[classes[shuffled] == each][: self.samples_per_class] for each in np.unique(classes)]
        rows = np.sort(np.concatenate(taken))
        if len(rows) < 2:
            raise ConfigError(
                f"schedule {self.kind}: {len(rows)} sample; raise samples_per_class, batch-norm needs 2"
            )
        return whole.rows(rows)
