"""The students that a build file leaves open, and which of them fit."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod

from common.errors import CapacityError, ConfigError
from hw.boards.boards import find
from pipeline.config.build import Build
from pipeline.sizing.assessment import Assessment, assess
from pipeline.sizing.limits import TITLES, title_of

Chosen = Mapping[str, int]

ENUMERATED = 1000
"""The most combinations that are gone through one by one: some minutes of closed-form costs."""


def key_of(chosen: Chosen) -> str:
    """A candidate as text, the same for the same choices."""
    return ", ".join(f"{key}={value}" for key, value in sorted(chosen.items()))


@dataclass
class Space:
    """All combinations of a build's open numbers.

    `rejected` counts those that were found not to fit, by the limit that they exceed most, or by `shape`
    where the layers do not fit each other.
    """

    config: Build
    input_shape: tuple[int, ...]
    rejected: Counter[str] = field(default_factory=Counter)
    _known: dict[str, tuple[Assessment | None, float]] = field(default_factory=dict)

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """The open numbers and what each may be, in ascending order."""
        return {key: tuple(sorted(values)) for key, values in self.config.student.choices.items()}

    @property
    def count(self) -> int:
        """Number of combinations; those that differ only in a layer left out are counted each."""
        return prod(len(values) for values in self.choices.values())

    @property
    def digest(self) -> str:
        """Tells one search from another: all that scores depend on."""
        config = self.config.model_dump(mode="json", exclude={"verify"})
        return hashlib.sha256(json.dumps([config, self.input_shape]).encode()).hexdigest()[:16]

    def candidates(self) -> Iterator[dict[str, int]]:
        """All of them, in a fixed order."""
        choices = self.choices
        for values in product(*choices.values()):
            yield dict(zip(choices, values, strict=True))

    def canonical(self, chosen: Chosen) -> dict[str, int]:
        """The choice with every number of a layer left out at its least."""
        choices = self.choices
        present = {key.removesuffix("present"): value for key, value in chosen.items() if "present" in key}
        absent = tuple(layer for layer, value in present.items() if not value)
        return {key: choices[key][0] if key.startswith(absent) else value for key, value in chosen.items()}

    def fitting(self, chosen: Chosen) -> Assessment | None:
        """The candidate's assessment; None, counted once, where it does not fit."""
        return self._look(chosen)[0]

    def excess(self, chosen: Chosen) -> float:
        """By what share of its budget a candidate exceeds its worst limit; 0 where it fits."""
        return self._look(chosen)[1]

    def _look(self, chosen: Chosen) -> tuple[Assessment | None, float]:
        key = key_of(chosen)
        if key not in self._known:
            self._known[key] = self._assessed(chosen)
        return self._known[key]

    def _assessed(self, chosen: Chosen) -> tuple[Assessment | None, float]:
        try:
            found = assess(self.config.student.topology(self.input_shape, chosen), self.config)
        except (ConfigError, CapacityError) as error:
            self.rejected["shape" if isinstance(error, ConfigError) else "cycles"] += 1
            return None, 1.0
        if found.fits:
            return found, 0.0
        self.rejected[found.binding.name] += 1
        return None, found.binding.load - 1

    def rejections(self) -> str:
        """Why candidates were rejected, as text."""
        budget = find(self.config.board.name).budget
        titles = {name: title_of(name, budget) for name in TITLES} | {
            "shape": "layers that do not fit each other"
        }
        return ", ".join(f"{count} by {titles[name]}" for name, count in self.rejected.most_common())
