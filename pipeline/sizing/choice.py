"""What sizing came to, as `sized.json` has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import StoreError
from common.topology import Topology
from hw.dataflow.fold import Fold
from pipeline.config.build import Build


@dataclass(frozen=True)
class Sized:
    """The chosen student.

    Attributes:
        chosen: a value for each number that the build file leaves open.
        folds: for every layer that has one, in the order of the topology's steps.
        details: what led to it, for reports: layers, limits, steps, candidates.
    """

    chosen: Mapping[str, int]
    folds: tuple[Fold, ...]
    details: Mapping[str, Any]

    def topology(self, config: Build, input_shape: tuple[int, ...]) -> Topology:
        """The chosen network over frames of `input_shape`."""
        return config.student.topology(input_shape, self.chosen)

    def save(self, path: Path) -> None:
        """Write `sized.json`."""
        folds = [{"pe": fold.pe, "simd": fold.simd} for fold in self.folds]
        content = {"chosen": dict(self.chosen), "folds": folds, **self.details}
        path.write_text(json.dumps(content, indent=2) + "\n")


def load_sized(path: Path) -> Sized:
    """Read what `save` wrote; raises `StoreError` where it is no such file."""
    try:
        content = json.loads(path.read_text())
        folds = tuple(Fold(int(fold["pe"]), int(fold["simd"])) for fold in content.pop("folds"))
        chosen = {str(key): int(value) for key, value in content.pop("chosen").items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: holds no sizing ({error!r:.100}); size again") from error
    return Sized(chosen, folds, content)
