"""The score ladder: what each step from the teacher to the board reaches, and what it loses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hw.imported.difference import Difference
from pipeline.artefacts.folder import Folder
from pipeline.artefacts.metrics import Metrics
from pipeline.artefacts.verification import Rung

WIDEST = 0.05
"""The scale goes at least this far below the best score, so that noise does not look like a cliff."""


@dataclass(frozen=True)
class Step:
    """A row: the score where it was measured, its change in percentage points against a step, a note."""

    label: str
    score: float | None
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

    def position(self, score: float) -> float:
        """Where on the scale a score is, in percent."""
        return 100 * (score - self.low) / (self.high - self.low)


def make(folder: Folder) -> Ladder:
    """The ladder of a build."""
    metrics = folder.metrics
    if metrics.difference is None:
        frozen = metrics.freeze.score_after if metrics.freeze else metrics.student
        steps = [*_networks(metrics), *_rungs(folder.verification, metrics.metric, frozen, "student")]
    else:
        steps = [_imported(metrics, metrics.difference)]
        steps += _rungs(folder.verification, metrics.metric, metrics.golden, "golden")
    measured = [step.score for step in steps if step.score is not None] or [1.0]
    high = min(1.0, max(measured) + 0.005)
    low = max(0.0, min(*measured, high - WIDEST) - 0.005)
    return Ladder(tuple(steps), low, high)


def _networks(metrics: Metrics) -> list[Step]:
    members, teacher = metrics.ensemble_members, metrics.teacher
    several = len(members) > 1
    steps = [Step(f"Teacher {index}", score) for index, score in enumerate(members) if several]
    if teacher is not None:
        step = Step("Teacher", teacher)
        if several:
            mean = sum(members) / len(members)
            step = _after("Teacher", teacher, mean, "its mean member", f"ensemble of {len(members)}")
        steps.append(step)
    baseline = metrics.student_without_distillation
    if baseline is not None:
        note = "same network, trained on labels alone"
        steps.append(_after("Student without distillation", baseline, teacher, "teacher", note))
    freeze = metrics.freeze
    if freeze is None:
        return [*steps, _after("Student", metrics.student, teacher, "teacher", "")]
    before, after = freeze.score_before, freeze.score_after
    note = f"{freeze.differing_logits} logits differ, of {freeze.samples} samples"
    return [
        *steps,
        _after("Student, float path", before, teacher, "teacher", ""),
        _after("Student, frozen to integers", after, before, "float path", note),
    ]


def _imported(metrics: Metrics, found: Difference) -> Step:
    """The imported network, executed in floats."""
    agreement = "none" if found.agreement is None else f"{found.agreement:.2%}"
    note = f"imported; golden gives the same class to {agreement} of {found.frames} frames"
    if found.tied_frames:
        note += f", {found.tied_frames} of which tie"
    note += (
        f", outputs more than a step apart to {found.apart:.2%};"
        f" largest error of a logit {found.largest_error:.3g}"
    )
    return Step(f"Network, on {found.frames} frames", metrics.network, note=note)


def _rungs(rungs: Sequence[Rung], metric: str, frozen: float | None, called: str) -> list[Step]:
    """The rungs below the network, and their change against `frozen`, called so.

    Where all outputs for the test set are the same, so is the score.
    """
    whole = max((rung.samples for rung in rungs), default=0)
    reference: float | None = frozen
    steps = []
    for rung in rungs:
        if rung.rung in ("teacher", "student", "network"):
            continue
        score = rung.metrics.get(metric)
        if not isinstance(score, int | float):
            same = rung.passed is True and rung.mismatches == 0 and rung.samples == whole
            score = reference if same else None
        if rung.rung in ("onnxruntime", "golden"):  # what the next rungs compare with
            reference = score
        before = None if rung.rung == called else frozen
        step = _after(rung.rung, score, before, called, _compared(rung))
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
    return f"{count} mismatch{plural} in {rung.samples} samples against {rung.against}"


def _after(label: str, score: float | None, before: float | None, against: str, note: str) -> Step:
    if score is None or before is None:
        return Step(label, score, note=note)
    return Step(label, score, 100 * (score - before), against, note)
