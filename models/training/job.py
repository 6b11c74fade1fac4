"""One run of the training loop: what goes in, and what comes of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.augmentation import Augmentation
from models.data import Split
from models.distill.method import Distillation, Signals
from models.tasks import CLASSIFICATION, Task
from models.training.config import TrainingConfig

Progress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """Report progress to nobody."""


class TeacherSignal(Protocol):
    """Gives each batch what its loss wants beside samples and labels, such as a teacher's logits."""

    def of(self, rows: NDArray[np.int64], x: Tensor) -> Any:
        """Give it for the samples at `rows` of the training set, which after augmentation are `x`."""

    def digest(self) -> str:
        """Tell one teacher from another, for checkpoints."""


class Batch(NamedTuple):
    """One step.

    Attributes:
        x: samples, float (batch, features), 0 to 255.
        y: the task's targets (batch, ...); labels, int64 (batch,), in classification.
        rows: places in the training set, int64 (batch,).
        progress: share of the training that lies behind, 0 to 1.
        teacher: what the job's teacher gave, None without one.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    progress: float
    teacher: Any


Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]
"""From the network and a batch to named terms, whose sum is minimized."""


@dataclass(frozen=True)
class NetworkTerms:
    """The terms of a distillation loss that looks at outputs, targets and teacher only, of any network."""

    loss: Distillation

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Compute them."""
        outputs = network(batch.x)
        teacher = batch.teacher.logits if batch.teacher else outputs.new_empty(0, *outputs.shape)
        signals = Signals(outputs, teacher, batch.y, x=batch.x, rows=batch.rows, progress=batch.progress)
        return self.loss.terms(signals)


@dataclass(frozen=True, eq=False)
class Job:
    """One run of `fit`.

    Attributes:
        build: makes the untrained network from torch's global generator; a class or a `partial` of one, and
            like `loss` (a frozen dataclass) of a `repr` that tells all its settings, since checkpoints are
            keyed by it.
        loss: what to minimize.
        train: what to learn from.
        validation: what each epoch is scored on.
        config: how to train.
        input_shape: of a sample, for the augmentation.
        augmentation: what happens to the samples of each batch; None for nothing.
        teacher: gives each batch its signal, if the loss wants one.
        task: gives the targets that the loss sees, and the score.
        start: weights to begin from, by name, in place of drawn ones; names that it lacks stay drawn.
        label: for progress and messages.
        checkpoint: the file to go on from and to keep up; None for no checkpoints.

    Raises `ConfigError`: the samples cannot be augmented so.
    """

    build: Callable[[], nn.Module]
    loss: Loss
    train: Split
    validation: Split
    config: TrainingConfig
    input_shape: tuple[int, ...]
    augmentation: Augmentation | None = None
    teacher: TeacherSignal | None = None
    task: Task = CLASSIFICATION
    start: Mapping[str, Tensor] | None = None
    label: str = "train"
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if self.augmentation:
            self.augmentation.check(self.input_shape)

    @cached_property
    def targets(self) -> NDArray[Any]:
        """What the loss sees as labels of the training set, (n, ...)."""
        return self.task.targets(self.train)

    @cached_property
    def key(self) -> str:
        """Digest of all that shapes the result: a checkpoint with another key is another run's."""
        config = replace(self.config, checkpoint_every=1)
        settings = (self.label, self.build, self.loss, config, self.input_shape, self.augmentation, self.task)
        digest = hashlib.sha256(repr(settings).encode())
        for array in (self.train.x, self.train.y, self.validation.x, self.validation.y):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).data)
        digest.update(self.teacher.digest().encode() if self.teacher else b"")
        for name, tensor in (self.start or {}).items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()
