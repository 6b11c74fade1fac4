"""`[student]`: what all kinds of students have, and the one without layers of its own, the decision tree."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.errors import ConfigError
from common.topology import Topology
from pipeline.config.section import Section


class StudentConfig(Section):
    """A table `[student]`; `kind` says which.

    `tables` are those of the build file that the kind uses beside the ones that all use, `rungs` the keys of
    `[verify]` likewise.
    """

    tables: ClassVar[frozenset[str]]
    rungs: ClassVar[frozenset[str]]
    kind: str

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]:
        """Keys that are left to sizing, with the values to choose from."""
        return {}

    def topology(self, input_shape: tuple[int, ...], chosen: Mapping[str, int] | None = None) -> Topology:
        """The network over frames of `input_shape`, with `chosen` for every key of `choices`.

        Raises:
            ConfigError: a choice is left open, the layers do not fit, or the kind has no layers.
        """
        raise ConfigError(f"student.kind: '{self.kind}' has no layers to train or to size")


class TreeStudent(StudentConfig):
    """A decision tree of at most `depth` comparisons a sample and `leaves` leaves, fitted to the teacher."""

    tables: ClassVar[frozenset[str]] = frozenset({"teacher", "training"})
    rungs: ClassVar[frozenset[str]] = frozenset({"maximum_drop"})
    kind: Literal["tree"]
    depth: Annotated[int, Field(ge=1, le=20)] = 8
    leaves: Annotated[int, Field(ge=2, le=65_536)] | None = None
