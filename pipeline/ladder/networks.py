"""The rungs of a trained student, from the teacher to FINN's graph: in floating point, then in integers."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import StoreError
from models.students import integer
from models.tasks import Task
from pipeline.artefacts.hardware import Layer
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.climbing import Check, Ladder, Rungs
from pipeline.ladder.execution import run_model
from pipeline.ladder.result import RungResult, compare

FINN_SAMPLES = 16


class QuantizedArtefacts(Artefacts):
    """The folder of a build with a quantized student."""

    @cached_property
    def network(self) -> integer.IntegerNetwork:
        """The frozen student."""
        return integer.load(self.folder / "frozen.safetensors")

    @cached_property
    def student(self) -> NDArray[np.float32]:
        """Logits of the frozen student in torch on the test split, (n, outputs)."""
        from models.students.frozen import FrozenStudent
        from models.training.evaluation import predict

        return predict(FrozenStudent(self.network), self.dataset.test.x)

    @property
    def scale(self) -> float:  # noqa: D102
        return self.network.logit_scale

    def tapped(self, x: NDArray[np.uint8], layers: Sequence[Layer]) -> list[NDArray[Any]]:
        """Golden's layers are found by what the student's file calls them, for FINN has its own order."""
        from models.export import golden_model

        if any(layer.origin is None for layer in layers):
            raise StoreError(f"{self.folder / 'layers.json'}: a layer without origin; build again")
        model = golden_model(self.network, taps=True).SerializeToString()
        names = [f"tap_{layer.origin}" for layer in layers]
        return run_model(model, {"x": x}, names, "golden.onnx")


def teacher(artefacts: Artefacts) -> RungResult:
    """The teacher against the labels: it must beat the best answer that is the same for all samples."""
    task, test = artefacts.config.task, artefacts.dataset.test
    score, chance = task.score(artefacts.teacher, test), task.chance(test)
    metrics = {task.metric_key: score, "chance": chance}
    wrong = int(task.wrong(artefacts.teacher, test).sum())
    first = None if score > chance else _no_better(task, score, chance)
    return RungResult(first is None, "labels", len(test), wrong, metrics, first)


def student(artefacts: Artefacts) -> RungResult:
    """The student against the teacher, within the build's limits on its score.

    Whatever these are, it must beat the best answer that is the same for all samples.
    """
    task, test, limits = artefacts.config.task, artefacts.dataset.test, artefacts.config.verify
    outputs, reference = artefacts.student, artefacts.teacher
    score, ceiling, chance = task.score(outputs, test), task.score(reference, test), task.chance(test)
    metrics = {task.metric_key: score, "drop": ceiling - score, **task.compare(outputs, reference)}
    complaints = []
    if score <= chance:
        complaints.append(_no_better(task, score, chance))
    if score < limits.minimum_accuracy:
        complaints.append(
            f"{task.metric} {score:.4f} is below verify.minimum_accuracy {limits.minimum_accuracy}"
        )
    if ceiling - score > limits.maximum_drop:
        complaints.append(
            f"{ceiling - score:.4f} below the teacher, verify.maximum_drop is {limits.maximum_drop}"
        )
    differ = int(task.differing(outputs, reference).sum())
    return RungResult(not complaints, "teacher", len(test), differ, metrics, "; ".join(complaints) or None)


def _no_better(task: Task, score: float, chance: float) -> str:
    return f"{task.metric} {score:.4f} is not above {chance:.4f}, that of the best constant answer"


def onnxruntime(artefacts: Artefacts) -> RungResult:
    """`student.onnx` in onnxruntime against the student, bit for bit, and against the teacher."""
    task, outputs = artefacts.config.task, artefacts.student_onnx
    metrics: dict[str, Any] = {
        task.metric_key: task.score(outputs, artefacts.dataset.test),
        "agreement_with_teacher": task.agreement(outputs, artefacts.teacher),
    }
    return compare("student", artefacts.student, outputs, **metrics)


def golden(artefacts: Artefacts) -> RungResult:
    """`golden.onnx`'s integers, times their scale, against `student.onnx`, bit for bit."""
    task, outputs = artefacts.config.task, artefacts.golden[0] * artefacts.scale
    metrics: dict[str, Any] = {
        task.metric_key: task.score(outputs, artefacts.dataset.test),
        "logit_scale": artefacts.scale,
    }
    found = compare("student.onnx", artefacts.student_onnx.astype(np.float64), outputs, **metrics)
    return with_label(found, artefacts)


def with_label(found: RungResult, artefacts: Artefacts) -> RungResult:
    """A result about golden's logits; it fails also where the label is not the largest of them."""
    logits, label = artefacts.golden
    if found.passed and not np.array_equal(label, logits.argmax(axis=1)):
        return RungResult(
            False, found.against, found.samples, found.samples, found.metrics, "label is not the arg-max"
        )
    return found


def finn(artefacts: Artefacts) -> RungResult:
    """FINN's hardware graph, executed by FINN, against golden on some samples."""
    from hw.finn.execution import execute
    from hw.finn.graph import load_hardware

    rows = artefacts.some(FINN_SAMPLES)
    hardware = load_hardware(artefacts.folder / "hardware.onnx")
    return artefacts.compared(execute(hardware, artefacts.x[rows], artefacts.log), rows)


TRAINED: Rungs = {
    "teacher": Check(teacher),
    "student": Check(student),
    "onnxruntime": Check(onnxruntime, ("onnxruntime",)),
    "golden": Check(golden, ("onnxruntime",)),
}
FINN: Rungs = {"finn": Check(finn, ("finn-plus", "qonnx"))}
QUANTIZED = Ladder(
    QuantizedArtefacts,
    {
        **TRAINED,
        "student": Check(student, ("torch",)),
        "onnxruntime": Check(onnxruntime, ("onnxruntime", "torch")),
        **FINN,
    },
)
