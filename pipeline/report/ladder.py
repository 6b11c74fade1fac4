"""The accuracy ladder: what each step from the teacher to the board reaches, and what it loses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.report.data import BuildData, Difference, Metrics, Rung

WIDEST = 0.05
"""The scale goes at least this far below the best accuracy, so that noise does not look like a cliff."""


@dataclass(frozen=True)
class Step:
    """A row: accuracy where it was measured, change in percentage points against the step named, a word."""

    label: str
    accuracy: float | None
    change: float | None = None
    against: str = ""
    note: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Ladder:
    """All rows, and the scale that they are drawn on."""

    steps: tuple[Step, ...]
    low: float
    high: float

    def position(self, accuracy: float) -> float:
        """Where on the scale an accuracy is, in percent."""
        return 100 * (accuracy - self.low) / (self.high - self.low)


def make(data: BuildData) -> Ladder:
    """The ladder of a build."""
    metrics = data.metrics
    frozen = metrics.freeze.accuracy_after if metrics.freeze else metrics.student_accuracy
    if metrics.difference is None:
        steps = [*_networks(metrics), *_rungs(data.verification, frozen, "student")]
    else:
        steps = [_given(metrics, metrics.difference)]
        steps += _rungs(data.verification, metrics.golden_accuracy, "golden")
    measured = [step.accuracy for step in steps if step.accuracy is not None] or [1.0]
    high = min(1.0, max(measured) + 0.005)
    low = max(0.0, min(*measured, high - WIDEST) - 0.005)
    return Ladder(tuple(steps), low, high)


def _networks(metrics: Metrics) -> list[Step]:
    members = metrics.ensemble_member_accuracy
    teacher, baseline = metrics.teacher_accuracy, metrics.student_without_distillation_accuracy
    steps = [Step(f"Teacher {index}", accuracy) for index, accuracy in enumerate(members) if len(members) > 1]
    if teacher is not None and len(members) > 1:
        mean = sum(members) / len(members)
        note = f"ensemble of {len(members)}"
        steps.append(Step("Teacher", teacher, _points(teacher, mean), "its mean member", note))
    elif teacher is not None:
        steps.append(Step("Teacher", teacher))
    if baseline is not None:
        note = "same network, trained on labels alone"
        steps.append(_after("Student without distillation", baseline, teacher, "teacher", note))
    return steps + _student(metrics)


def _given(metrics: Metrics, found: Difference) -> Step:
    """The network as it came, executed in floats."""
    agreement = "none" if found.agreement is None else f"{found.agreement:.2%}"
    note = f"made elsewhere; golden gives the same class to {agreement} of {found.frames} frames"
    if found.tied_frames:
        note += f", {found.tied_frames} of which tie"
    note += (
        f", outputs more than a step apart to {found.apart:.2%};"
        f" largest error of a logit {found.largest_error:.3g}"
    )
    return Step(f"Network, on {found.frames} frames", metrics.network_accuracy, note=note)


def _student(metrics: Metrics) -> list[Step]:
    teacher, freeze = metrics.teacher_accuracy, metrics.freeze
    if freeze is None:
        return [_after("Student", metrics.student_accuracy, teacher, "teacher", "")]
    before, after = freeze.accuracy_before, freeze.accuracy_after
    note = f"{freeze.differing_logits} logits differ, of {freeze.samples} samples"
    return [
        _after("Student, float path", before, teacher, "teacher", ""),
        _after("Student, frozen to integers", after, before, "float path", note),
    ]


def _rungs(rungs: Sequence[Rung], frozen: float | None, called: str) -> list[Step]:
    """The rungs below the network, and their change against `frozen`, called so.

    Where all outputs for the test set are the same, so is the accuracy.
    """
    whole = max((rung.samples or 0 for rung in rungs), default=0)
    reference: float | None = frozen
    steps = []
    for rung in rungs:
        if rung.rung in ("teacher", "student", "network"):
            continue
        accuracy = rung.metrics.get("accuracy")
        if not isinstance(accuracy, int | float):
            same = rung.passed is True and rung.mismatches == 0 and rung.samples == whole
            accuracy = reference if same else None
        if rung.rung in ("onnxruntime", "golden"):  # what the next rungs compare with
            reference = accuracy
        before = None if rung.rung == called else frozen
        step = _after(rung.rung, accuracy, before, called, _compared(rung))
        steps.append(replace(step, verdict=rung.verdict))
    return steps


def _compared(rung: Rung) -> str:
    if rung.passed is None:
        return f"skipped: {rung.skipped or 'no reason given'}"
    if rung.error:
        return "could not be climbed"
    if rung.mismatches is None:
        return rung.verdict
    count = rung.mismatches or "no"
    plural = "" if rung.mismatches == 1 else "es"
    return f"{count} mismatch{plural} in {rung.samples or 0} samples against {rung.against}"


def _after(label: str, accuracy: float | None, before: float | None, against: str, note: str) -> Step:
    if accuracy is None or before is None:
        return Step(label, accuracy, note=note)
    return Step(label, accuracy, _points(accuracy, before), against, note)


def _points(accuracy: float, before: float) -> float:
    return 100 * (accuracy - before)
