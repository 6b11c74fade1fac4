"""The fitted coefficients, as `coefficients.json` has them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "coefficients.json"

Factors = Mapping[str, Mapping[str, float]]
"""For each kind of part the LUTs, or flip-flops, that each of its features takes."""


@dataclass(frozen=True)
class FamilyTable:
    """A family's coefficients."""

    luts: Factors
    flip_flops: Factors


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of every family, and the versions of the tools that they were measured with."""

    tools: Mapping[str, str]
    families: Mapping[str, FamilyTable]


@cache
def coefficients() -> Coefficients:
    """The table in the repository."""
    stored = json.loads(TABLE.read_text())
    families = {name: FamilyTable(**table) for name, table in stored["families"].items()}
    return Coefficients(stored["tools"], families)


def save(table: Coefficients, path: Path = TABLE) -> None:
    """Write a table."""
    path.write_text(json.dumps(asdict(table), indent=1, sort_keys=True) + "\n")
