"""What the report reads of a build's folder, checked on the way in."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, TypeAdapter

from common.errors import StoreError
from pipeline.engine.lock import LOCK, VOLATILE, Lock, read_lock
from pipeline.engine.outputs import FAILED
from pipeline.engine.stage import LOGS
from pipeline.report.files import Files, named
from pipeline.report.finn import Estimates, FinnLayers

T = TypeVar("T")

REPORT = "report.html"


@dataclass(frozen=True)
class Freeze:
    """What freezing the student to integers changed, of `samples`."""

    samples: int
    differing_logits: int
    accuracy_before: float
    accuracy_after: float


@dataclass(frozen=True)
class Difference:
    """As `hw.finn.lowering.Difference`: a network made elsewhere against its integer reference."""

    frames: int
    agreement: float | None
    tied_frames: int
    apart: float
    largest_error: float
    scale: float
    offset: float


@dataclass(frozen=True)
class Metrics:
    """`metrics.json`: what the networks reach on the test set; accuracies 0 to 1, divergence in nats.

    A network made elsewhere has no student, but `golden_accuracy`, and `network_accuracy` on the frames of
    `difference`; both only where the build has labels. `confusion_matrix` counts samples: a row for each true
    class, a column for each predicted one.
    """

    student_accuracy: float | None = None
    teacher_accuracy: float | None = None
    ensemble_member_accuracy: tuple[float, ...] = ()
    student_without_distillation_accuracy: float | None = None
    agreement: float | None = None
    kl_divergence: float | None = None
    freeze: Freeze | None = None
    golden_accuracy: float | None = None
    network_accuracy: float | None = None
    difference: Difference | None = None
    recorded_difference: Difference | None = None
    confusion_matrix: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Epoch:
    """As `models.training.Epoch`."""

    loss: float
    terms: dict[str, float]
    validation_score: float


@dataclass(frozen=True)
class History:
    """As `models.training.History`: `chosen` counts from 0."""

    epochs: tuple[Epoch, ...]
    chosen: int
    measured: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.epochs):
            raise ValueError(f"epoch {self.chosen} of {len(self.epochs)} chosen")


@dataclass(frozen=True)
class CurvePoint:
    """One run of the temperature sweep."""

    temperature: float
    validation_score: float


@dataclass(frozen=True)
class Training:
    """`training.json`: histories of the teachers, the student and the undistilled student, and the sweep."""

    teacher: tuple[History, ...] = ()
    student: History | None = None
    baseline: History | None = None
    temperature_curve: tuple[CurvePoint, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True)
class RungError:
    """What kept a rung from being climbed: an error of Retort's, by its class and exit code."""

    kind: str
    exit_code: int
    message: str


@dataclass(frozen=True)
class Rung:
    """An entry of `verification.json`; a rung whose `passed` is None was skipped for the reason `skipped`.

    One with an `error` did not pass, and found nothing about the build.
    """

    rung: str
    passed: bool | None
    against: str = ""
    samples: int | None = None
    mismatches: int | None = None
    seconds: float | None = None
    metrics: dict[str, JsonValue] = field(default_factory=dict)
    skipped: str | None = None
    first_mismatch: str | None = None
    error: RungError | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        return "error" if self.error else {True: "passed", False: "failed", None: "skipped"}[self.passed]

    @property
    def remark(self) -> str | None:
        """Why it did not pass."""
        if self.error:
            return f"Could not be climbed: {self.error.message}"
        return f"First mismatch: {self.first_mismatch}" if self.first_mismatch else self.skipped


@dataclass(frozen=True)
class Resource:
    """How much of a resource the design takes."""

    used: int
    available: int


@dataclass(frozen=True)
class Utilization:
    """`utilization.json`: what place and route gave; frequencies in Hz."""

    device: str
    board: str
    resources: dict[str, Resource]
    fmax_hz: float
    clock_hz: float
    timing_met: bool


@dataclass(frozen=True)
class BoardPace:
    """What `retort deploy` measured on a board, in batches of `batch` frames."""

    frames_per_second: float
    latency_microseconds: float
    batch: int


@dataclass(frozen=True)
class Performance:
    """`performance.json`: the simulated core's interval and its bound, in cycles a frame, and the pace.

    A host sees frames at the rate of the slower of core and link, `limited_by`; `link` says what that is, and
    `as_fast` what it would have to be to keep up with the core.
    """

    interval_cycles: int
    interval_bound_cycles: int
    latency_cycles: int
    clock_hz: float
    frames_per_second: float
    core_frames_per_second: float
    link_frames_per_second: float
    limited_by: str
    link: str
    as_fast: str


@dataclass(frozen=True)
class Artefact:
    """A file of the build, with its size, and stage and digest where the lock knows them."""

    name: str
    size: int
    stage: str
    sha256: str


@dataclass(frozen=True)
class BuildData:
    """All that a report shows; None stands for a file that the build does not have."""

    name: str
    verification: tuple[Rung, ...]
    metrics: Metrics
    training: Training | None
    utilization: Utilization | None
    performance: Performance | None
    layers: tuple[dict[str, JsonValue], ...] | None
    estimates: Estimates | None
    floorplan: str | None
    lock: Lock | None
    artefacts: tuple[Artefact, ...]

    @property
    def board_pace(self) -> BoardPace | None:
        """How fast a real board was, where one was measured."""
        wanted = [each.name for each in fields(BoardPace)]
        for rung in self.verification:
            if rung.rung == "board" and rung.metrics.keys() >= set(wanted):
                return TypeAdapter(BoardPace).validate_python({name: rung.metrics[name] for name in wanted})
        return None


def load(folder: Path) -> BuildData:
    """Read a build's folder; `metrics.json` and `verification.json` must be there.

    Without a lock the folder gives the build its name.

    Raises:
        StoreError: a file that must be there is missing, or one that is there is malformed.
    """
    lock = read_lock(folder) if (folder / LOCK).exists() else None
    files = Files(folder, named(folder, lock))
    return BuildData(
        name=lock.build if lock else folder.resolve().name,
        verification=files.mandatory("verification.json", tuple[Rung, ...]),
        metrics=_metrics(files),
        training=files.optional("training.json", Training),
        utilization=files.optional("utilization.json", Utilization),
        performance=files.optional("performance.json", Performance),
        layers=_layers(files),
        estimates=files.optional("estimates.json", Estimates),
        floorplan=_floorplan(files),
        lock=lock,
        artefacts=_artefacts(folder, lock),
    )


def _layers(files: Files) -> tuple[dict[str, JsonValue], ...] | None:
    """The layers of what the board gets: of FINN's RTL where the build has that, else of the core."""
    finn = files.optional("finn_rtl.json", FinnLayers)
    return finn.layers if finn else files.optional("layers.json", tuple[dict[str, JsonValue], ...])


def _metrics(files: Files) -> Metrics:
    metrics = files.mandatory("metrics.json", Metrics)
    if any(len(row) != len(metrics.confusion_matrix) for row in metrics.confusion_matrix):
        path = files.folder / "metrics.json"
        raise StoreError(f"{path}: confusion_matrix: not square; run `retort build` again")
    return metrics


def _floorplan(files: Files) -> str | None:
    """The picture, to be inlined."""
    if not files.has("floorplan.svg"):
        return None
    path = files.folder / "floorplan.svg"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    if not text.startswith("<svg ") or "<script" in text:
        raise StoreError(f"{path}: not a plain SVG picture; run `retort build` again")
    return text


def _artefacts(folder: Path, lock: Lock | None) -> tuple[Artefact, ...]:
    """Every file but logs, what failed stages left, and the report itself."""
    known: dict[str, tuple[str, str]] = {}
    for stage, entry in (lock.stages if lock else {}).items():
        known |= {name: (stage, stored.sha256) for name, stored in entry.files.items()}
    artefacts = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            path.is_file()
            and name not in (REPORT, VOLATILE)
            and not name.startswith((LOGS, f"{FAILED}/", "."))
        ):
            stage, sha256 = known.get(name, ("", ""))
            artefacts.append(Artefact(name, path.stat().st_size, stage, sha256))
    return tuple(artefacts)
