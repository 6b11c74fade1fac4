"""What the report reads of a build's folder, checked on the way in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from pipeline.errors import StoreError
from pipeline.outputs import FAILED, LOCK
from pipeline.report.finn import Estimates, FinnLayers
from pipeline.stage import LOGS

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
    """As `hw.lowering.Difference`: a network made elsewhere against its integer reference."""

    frames: int
    agreement: float
    largest_error: float | None = None
    scale: float | None = None
    offset: float | None = None


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
    validation_accuracy: float


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
    validation_accuracy: float


@dataclass(frozen=True)
class Training:
    """`training.json`: histories of the teachers, the student and the undistilled student, and the sweep."""

    teacher: tuple[History, ...] = ()
    student: History | None = None
    baseline: History | None = None
    temperature_curve: tuple[CurvePoint, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True)
class Rung:
    """An entry of `verification.json`; a rung whose `passed` is None was skipped for the reason `skipped`."""

    rung: str
    passed: bool | None
    against: str = ""
    samples: int | None = None
    mismatches: int | None = None
    seconds: float | None = None
    metrics: dict[str, JsonValue] = field(default_factory=dict)
    skipped: str | None = None
    first_mismatch: str | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "passed", False: "failed", None: "skipped"}[self.passed]


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
    `board` is a real board's.
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
    board: BoardPace | None = None


@dataclass(frozen=True)
class StageEntry:
    """A stage in `build.lock.json`; tools by name, each with version and digest in one text."""

    key: str | None
    tools: dict[str, str]
    files: dict[str, dict[str, JsonValue]]


@dataclass(frozen=True)
class Lock:
    """`build.lock.json`, as `pipeline.outputs.lock_of` makes it."""

    build: str
    retort: str
    seed: int
    board: str
    config: dict[str, JsonValue]
    config_sha256: str
    stages: dict[str, StageEntry]


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


def load(folder: Path) -> BuildData:
    """Read a build's folder; `metrics.json` and `verification.json` must be there.

    Without a lock the folder gives the build its name.

    Raises:
        StoreError: a file that must be there is missing, or one that is there is malformed.
    """
    lock = _optional(folder / LOCK, Lock)
    return BuildData(
        name=lock.build if lock else folder.resolve().name,
        verification=_mandatory(folder / "verification.json", tuple[Rung, ...]),
        metrics=_metrics(folder / "metrics.json"),
        training=_optional(folder / "training.json", Training),
        utilization=_optional(folder / "utilization.json", Utilization),
        performance=_optional(folder / "performance.json", Performance),
        layers=_layers(folder),
        estimates=_optional(folder / "estimates.json", Estimates),
        floorplan=_floorplan(folder / "floorplan.svg"),
        lock=lock,
        artefacts=_artefacts(folder, lock),
    )


def _layers(folder: Path) -> tuple[dict[str, JsonValue], ...] | None:
    """The layers of what the board gets: of FINN's RTL where the build has that, else of the core."""
    finn = _optional(folder / "finn_rtl.json", FinnLayers)
    return finn.layers if finn else _optional(folder / "layers.json", tuple[dict[str, JsonValue], ...])


def _mandatory(path: Path, form: type[T]) -> T:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); run `retort build` to its end"
        ) from error
    try:
        return TypeAdapter(form).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise StoreError(f"{path}: {where}: {first['msg']}; run `retort build` again") from error


def _optional(path: Path, form: type[T]) -> T | None:
    return _mandatory(path, form) if path.exists() else None


def _metrics(path: Path) -> Metrics:
    metrics = _mandatory(path, Metrics)
    if any(len(row) != len(metrics.confusion_matrix) for row in metrics.confusion_matrix):
        raise StoreError(f"{path}: confusion_matrix: not square; run `retort build` again")
    return metrics


def _floorplan(path: Path) -> str | None:
    """The picture, to be inlined."""
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    if not text.startswith("<svg ") or "<script" in text:
        raise StoreError(f"{path}: not a plain SVG picture; run `retort build` again")
    return text


def _artefacts(folder: Path, lock: Lock | None) -> tuple[Artefact, ...]:
    """Every file but logs, what failed stages left, and the report itself."""
    known: dict[str, tuple[str, Any]] = {}
    for stage, entry in (lock.stages if lock else {}).items():
        known |= {name: (stage, stored.get("sha256", "")) for name, stored in entry.files.items()}
    artefacts = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != REPORT and not name.startswith((LOGS, f"{FAILED}/", ".")):
            stage, sha256 = known.get(name, ("", ""))
            artefacts.append(Artefact(name, path.stat().st_size, stage, str(sha256)))
    return tuple(artefacts)
