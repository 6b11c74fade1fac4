"""What a task is: what a network is to give for a sample, and how good what it gives is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from common.errors import ConfigError
from models.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.topology import Topology
    from models.data import Dataset, Split
    from models.distill.method import Distillation
    from models.metrics import Logits


class Task(ABC):
    """A task: a frozen dataclass whose fields are the keys of `[task]`.

    Outputs are what a network gives, float or integers times their scale: (n, `outputs`).
    """

    kind: ClassVar[str]
    """Its name in the build file."""
    metric: ClassVar[str]
    """What `score` is, as tables show it."""
    distillation: ClassVar[str] = "softened-softmax"
    """The loss of a build file that names none."""
    has_label: ClassVar[bool] = True
    """Whether the place of the greatest output is an answer, which a core may give alone."""
    augmentable: ClassVar[bool] = True
    """Whether a sample that is shifted, mirrored or cut keeps its labels."""

    @property
    def metric_key(self) -> str:
        """The metric's name as a key of JSON."""
        return self.metric.replace(" ", "_")

    def prepare(self, dataset: Dataset, seed: int) -> Dataset:
        """Make the task's own data set of one that a source gave.

        Raises `ConfigError` or `DataError`: the data do not suit the task.
        """
        return dataset

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of a prepared sample, of a source's; raises `ConfigError` as `prepare` does."""
        return shape

    def train_samples(self, samples: int) -> int:
        """Count the prepared training samples, of a source's."""
        return samples

    @abstractmethod
    def outputs(self, shape: tuple[int, ...], classes: int) -> int:
        """Count the values that a network gives for a prepared sample of `shape`."""

    def check(self, topology: Topology, classes: int) -> None:
        """Check that a student gives what the task wants.

        Raises `ConfigError`: names the layer and what it has to give.
        """
        wanted = self.outputs(topology.input_shape, classes)
        if topology.outputs != wanted:
            raise ConfigError(
                f"student.layers[{len(topology.layers) - 1}].outputs: the student gives {topology.outputs}"
                f" values, but {self.kind} of {classes} classes wants {wanted}; change its last layer"
            )

    def targets(self, split: Split) -> NDArray[Any]:
        """Give what losses see as labels, (n, ...)."""
        return split.y

    @abstractmethod
    def score(self, outputs: Logits, split: Split) -> float:
        """Tell how good outputs are: 0 to 1, 1 the best."""

    @abstractmethod
    def chance(self, split: Split) -> float:
        """Give the score of the best answer that is the same for all samples."""

    @abstractmethod
    def combine(self, members: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Combine an ensemble's outputs (members, n, outputs) to one network's (n, outputs)."""

    @abstractmethod
    def differing(self, first: Logits, second: Logits) -> NDArray[np.bool_]:
        """Tell for which samples (n,) two networks give different answers."""

    @abstractmethod
    def wrong(self, outputs: Logits, split: Split) -> NDArray[np.bool_]:
        """Tell for which samples (n,) the answer is not that of the labels."""

    def agreement(self, first: Logits, second: Logits) -> float:
        """Share of samples for which two networks give the same answer."""
        return float(np.mean(~self.differing(first, second)))

    def compare(self, outputs: Logits, teacher: NDArray[np.float64]) -> dict[str, float]:
        """Tell how near outputs are to the combined teacher's."""
        return {"agreement": self.agreement(outputs, teacher)}

    def describe(self, outputs: Logits, split: Split) -> dict[str, Any]:
        """Give what else `metrics.json` tells of the student's outputs."""
        return {}

    @abstractmethod
    def labels_only(self, label_smoothing: float = 0.0) -> Distillation:
        """Give the loss of training without a teacher.

        Raises `ConfigError`: the task's labels cannot be smoothed.
        """

    @abstractmethod
    def decoding(self, dataset: Dataset) -> dict[str, Any]:
        """Tell how a user decodes outputs, in JSON's types."""

    def accepts(self, method: Any) -> bool:
        """Whether a loss, a source of samples or a schedule serves this task."""
        return method.tasks is None or self.kind in method.tasks
