"""What the networks reach on the test split: `metrics.json`, and the teacher's logits behind it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from common.errors import DataError
from common.jsonfile import JsonFile
from hw.imported.difference import Difference
from models.data import Dataset
from models.metrics import FreezeReport
from models.tasks import Task
from models.tensorfile import read_tensors, write_tensors

if TYPE_CHECKING:
    from models.metrics import Logits

KIND = "teacher logits"


@dataclass(frozen=True)
class Metrics:
    """Scores on the test split, 0 to 1, 1 the best. What a build does not have is left out.

    Attributes:
        metric: what the scores are, for example "accuracy".
        teacher: of the teacher, an ensemble's outputs combined.
        ensemble_members: of each of its networks.
        student: of the integer student.
        student_without_distillation: of the same network trained on labels alone.
        agreement: share of samples on which student and teacher agree.
        kl_divergence: of the student's probabilities from the teacher's, mean, in nats.
        freeze: what freezing the trained student to integers changed.
        golden: of the integer reference of an imported network, where the build has labels.
        network: of the imported network, on the frames of `difference`.
        difference: the imported network against its integer reference.
        recorded_difference: the same of the recorded outputs.
        confusion_matrix: samples; a row for each true class, a column for each predicted one.
        details: what else the task measures, by name.
    """

    metric: str
    teacher: float | None = None
    ensemble_members: tuple[float, ...] = ()
    student: float | None = None
    student_without_distillation: float | None = None
    agreement: float | None = None
    kl_divergence: float | None = None
    freeze: FreezeReport | None = None
    golden: float | None = None
    network: float | None = None
    difference: Difference | None = None
    recorded_difference: Difference | None = None
    confusion_matrix: tuple[tuple[int, ...], ...] = ()
    details: dict[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(len(row) != len(self.confusion_matrix) for row in self.confusion_matrix):
            raise ValueError("confusion_matrix is not square")


METRICS = JsonFile("metrics.json", Metrics, ("export", "compile"))


def save_teacher_logits(logits: NDArray[np.float32], path: Path) -> None:
    """Write the members' logits on the test split, (members, n, outputs)."""
    write_tensors(path, KIND, {}, {"test": logits})


def load_teacher_logits(path: Path, dataset: Dataset, task: Task) -> NDArray[np.float32]:
    """Read them back; raises `DataError` where they are not of this data set's test split."""
    logits = read_tensors(path, KIND, DataError)[1].get("test")
    wanted = (len(dataset.test), task.outputs(dataset.input_shape, dataset.classes))
    if logits is None or logits.ndim != 3 or logits.shape[1:] != wanted:
        found = "nothing" if logits is None else logits.shape
        raise DataError(f"{path}: holds {found}, not logits of {wanted} a member; build the teacher again")
    return np.asarray(logits, np.float32)


def measure(task: Task, outputs: "Logits", baseline: "Logits", teacher: Path, dataset: Dataset) -> Metrics:
    """Scores on the test split of teacher, its members, student and undistilled student.

    `outputs` are the student's, `baseline` those of the undistilled one, both (n, outputs).
    """
    test = dataset.test
    members = load_teacher_logits(teacher, dataset, task)
    ensemble = task.combine(members)
    told = task.describe(outputs, test) | task.compare(outputs, ensemble)
    own = {name: told.pop(name) for name in (*_COMPARED, "confusion_matrix") if name in told}
    own["confusion_matrix"] = tuple(map(tuple, own.get("confusion_matrix", ())))
    return Metrics(
        metric=task.metric,
        teacher=task.score(ensemble, test),
        ensemble_members=tuple(task.score(member, test) for member in members),
        student=task.score(outputs, test),
        student_without_distillation=task.score(baseline, test),
        details=told,
        **own,
    )


_COMPARED = ("agreement", "kl_divergence")
