"""What distillation came to: `metrics.json`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from common.tensorfile import read_tensors, write_tensors
from models.data import Dataset
from models.metrics import accuracy, agreement, combine, divergence, softened
from models.students.integer import IntegerNetwork

KIND = "teacher logits"


def save_teacher_logits(logits: NDArray[np.float32], path: Path) -> None:
    """Write the members' logits on the test split, (members, n, classes)."""
    write_tensors(path, KIND, {}, {"test": logits})


def load_teacher_logits(path: Path, dataset: Dataset) -> NDArray[np.float32]:
    """Read them back; raises `DataError` where they are not of this data set's test split."""
    logits = read_tensors(path, KIND, DataError)[1].get("test")
    wanted = (len(dataset.test), dataset.classes)
    if logits is None or logits.ndim != 3 or logits.shape[1:] != wanted:
        found = "nothing" if logits is None else logits.shape
        raise DataError(f"{path}: holds {found}, not logits of {wanted} a member; build the teacher again")
    return np.asarray(logits, np.float32)


def measure(
    network: IntegerNetwork, baseline: IntegerNetwork, teacher: Path, dataset: Dataset
) -> dict[str, Any]:
    """Accuracies (0 to 1) on the test split of teacher, its members, student and undistilled student."""
    test = dataset.test
    members = load_teacher_logits(teacher, dataset)
    ensemble = combine(members)
    logits = network.forward(test.x)
    confusion = np.zeros((dataset.classes, dataset.classes), np.int64)
    np.add.at(confusion, (test.y, logits.argmax(axis=1)), 1)
    return {
        "teacher_accuracy": accuracy(ensemble, test.y),
        "ensemble_member_accuracy": [accuracy(member, test.y) for member in members],
        "student_accuracy": accuracy(logits, test.y),
        "student_without_distillation_accuracy": accuracy(baseline.forward(test.x), test.y),
        "agreement": agreement(logits, ensemble),
        "kl_divergence": divergence(ensemble, softened(logits * network.logit_scale)),
        "confusion_matrix": confusion.tolist(),
    }
