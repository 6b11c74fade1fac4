"""What the ladder found: `verification.json`. Imports no framework."""

from dataclasses import dataclass
from typing import Any

from common.errors import RetortError
from common.jsonfile import JsonFile


@dataclass(frozen=True)
class RungError:
    """What kept a rung from being climbed.

    Attributes:
        kind: the class of Retort's error.
        exit_code: its exit code.
        message: what it said.
    """

    kind: str
    exit_code: int
    message: str

    @classmethod
    def of(cls, error: RetortError) -> "RungError":
        """An error as `verification.json` has it."""
        return cls(type(error).__name__, error.exit_code, str(error))


@dataclass(frozen=True)
class Rung:
    """One comparison of the ladder.

    Attributes:
        rung: its name.
        passed: null where it was skipped.
        against: what the artefact was compared with.
        samples: how many were compared.
        mismatches: of these, how many differ; null where nothing was compared.
        metrics: what else was measured.
        seconds: how long it took.
        key: the key of the stage that made what the board gets.
        tools: their versions.
        first_mismatch: where the first difference is, or why the rung failed.
        skipped: why it was skipped.
        error: what kept it from being climbed; it says nothing of the build.
    """

    rung: str
    passed: bool | None
    against: str
    samples: int
    mismatches: int | None
    metrics: dict[str, Any]
    seconds: float
    key: str
    tools: dict[str, str]
    first_mismatch: str | None = None
    skipped: str | None = None
    error: RungError | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        return "error" if self.error else {True: "passed", False: "failed", None: "skipped"}[self.passed]

    @property
    def failed(self) -> bool:
        """Whether something was compared, and differs."""
        return self.passed is False and self.error is None

    @property
    def summary(self) -> str:
        """In a few words."""
        if self.error:
            return self.error.message
        if self.passed is None:
            return self.skipped or "not run"
        text = f"{self.mismatches} mismatches in {self.samples} samples against {self.against}"
        return f"{text}: {self.first_mismatch}" if self.first_mismatch else text


VERIFICATION = JsonFile("verification.json", tuple[Rung, ...], ("verify",))
