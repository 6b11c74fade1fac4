"""The accuracy ladder: what each step from the teacher to the board reaches, and what it loses."""

from dataclasses import dataclass

from pipeline.report.data import BuildData, Metrics, Rung

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
    steps = [*_networks(metrics), *(_rung(rung, frozen) for rung in data.verification if _is_later(rung))]
    measured = [step.accuracy for step in steps if step.accuracy is not None]
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


def _is_later(rung: Rung) -> bool:
    return rung.rung not in ("teacher", "student")


def _rung(rung: Rung, frozen: float) -> Step:
    """A rung below the student; one without an accuracy of its own says how it compares."""
    found = rung.metrics.get("accuracy")
    accuracy = float(found) if isinstance(found, int | float) else None
    if rung.passed is None:
        note = f"skipped: {rung.skipped or 'no reason given'}"
    elif rung.mismatches is None:
        note = f"{rung.samples or 0} samples"
    else:
        count = rung.mismatches or "no"
        plural = "" if rung.mismatches == 1 else "es"
        note = f"{count} mismatch{plural} in {rung.samples or 0} samples against {rung.against}"
    step = _after(rung.rung, accuracy, frozen, "student", note)
    return Step(step.label, accuracy, step.change, step.against, note, rung.verdict)


def _after(label: str, accuracy: float | None, before: float | None, against: str, note: str) -> Step:
    if accuracy is None or before is None:
        return Step(label, accuracy, note=note)
    return Step(label, accuracy, _points(accuracy, before), against, note)


def _points(accuracy: float, before: float) -> float:
    return 100 * (accuracy - before)
