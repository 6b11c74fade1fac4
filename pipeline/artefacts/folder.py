"""A build's folder as its readers see it: typed files, as far as the build has them."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from common.jsonfile import JsonFile
from hw.finn.rtl import FINN_RTL, FinnRtl
from hw.finn.rtl.estimates import Estimates
from hw.implementation.bitstream import Utilization
from pipeline.artefacts.hardware import (
    ESTIMATES,
    LAYERS,
    PERFORMANCE,
    UTILIZATION,
    BoardPace,
    Layer,
    Performance,
)
from pipeline.artefacts.metrics import METRICS, Metrics
from pipeline.artefacts.training import TRAINING, Training
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.engine.lock import LOCK, VOLATILE, Lock, read_lock, read_volatile
from pipeline.engine.outputs import FAILED
from pipeline.engine.stage import LOGS

T = TypeVar("T")

REPORT = "report.html"


@dataclass(frozen=True)
class Artefact:
    """A file of the build: its size in bytes, and stage and digest where the lock knows them."""

    name: str
    size: int
    stage: str
    sha256: str


@dataclass(frozen=True)
class Folder:
    """A build's folder. What a build does not have is None; a malformed file raises `StoreError`."""

    path: Path

    @cached_property
    def lock(self) -> Lock | None:
        """What the build was made of."""
        return read_lock(self.path) if (self.path / LOCK).exists() else None

    @property
    def name(self) -> str:
        """The build's name; without a lock the folder's."""
        return self.lock.build if self.lock else self.path.resolve().name

    @cached_property
    def metrics(self) -> Metrics:
        """What the networks reach on the test split."""
        return METRICS.load(self.path)

    @cached_property
    def verification(self) -> tuple[Rung, ...]:
        """What the ladder found."""
        return VERIFICATION.load(self.path)

    @cached_property
    def performance(self) -> Performance | None:
        """How fast the core is."""
        return self._optional(PERFORMANCE)

    @cached_property
    def training(self) -> Training | None:
        """How the networks were trained."""
        return self._optional(TRAINING)

    @cached_property
    def utilization(self) -> Utilization | None:
        """What the design takes of the chip."""
        return self._optional(UTILIZATION)

    @cached_property
    def layers(self) -> tuple[Layer, ...] | None:
        """The core's layers."""
        return self._optional(LAYERS)

    @cached_property
    def finn_rtl(self) -> FinnRtl | None:
        """FINN's RTL for an AMD board."""
        return self._optional(FINN_RTL)

    @cached_property
    def estimates(self) -> Estimates | None:
        """FINN's estimates of its layers."""
        return self._optional(ESTIMATES)

    @property
    def board_pace(self) -> BoardPace | None:
        """How fast a real board was, where one was measured."""
        wanted = {each.name for each in fields(BoardPace)}
        for rung in self.verification:
            if rung.rung == "board" and rung.metrics.keys() >= wanted:
                return TypeAdapter(BoardPace).validate_python({name: rung.metrics[name] for name in wanted})
        return None

    def has(self, name: str) -> bool:
        """Whether the build has a file of this name: others that lie there are not its own."""
        return (self._names is None or name in self._names) and (self.path / name).exists()

    def artefacts(self) -> tuple[Artefact, ...]:
        """Every file but logs, what failed stages left, and the report itself."""
        known: dict[str, tuple[str, str]] = {}
        for stage, entry in (self.lock.stages if self.lock else {}).items():
            known |= {name: (stage, stored.sha256) for name, stored in entry.files.items()}
        found = []
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            own = name not in (REPORT, VOLATILE) and not name.startswith((LOGS, f"{FAILED}/", "."))
            if own and path.is_file():
                found.append(Artefact(name, path.stat().st_size, *known.get(name, ("", ""))))
        return tuple(found)

    @cached_property
    def _names(self) -> frozenset[str] | None:
        """The files that the locks name; None without a lock."""
        if self.lock is None:
            return None
        volatile = read_volatile(self.path)
        return frozenset([*self.lock.files, *self.lock.volatile, *(volatile.files if volatile else ())])

    def _optional(self, file: JsonFile[T]) -> T | None:
        return file.load(self.path) if self.has(file.name) else None
