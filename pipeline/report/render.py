"""From a build's folder to `report.html`: one file, no scripts, nothing loaded from elsewhere."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import JsonValue

from common.errors import StoreError
from hw.finn.rtl import FINN_RTL
from pipeline.artefacts.folder import Folder
from pipeline.artefacts.hardware import LAYERS
from pipeline.artefacts.verification import Rung
from pipeline.engine.lock import Lock
from pipeline.report import ladder
from pipeline.report.plots import training_plots

LAYER_COLUMNS = ("name", "kind", "shape", "pe", "simd", "cycles")


@dataclass(frozen=True)
class Verdict:
    """The ladder in a line; `state` is passed, failed or open."""

    state: str
    text: str


@dataclass(frozen=True)
class LayerTable:
    """Layers with the columns that they have, and which of them set the pace."""

    columns: tuple[str, ...]
    numeric: frozenset[str]
    rows: tuple[dict[str, JsonValue], ...]
    most_cycles: int
    bounding: frozenset[int]


def render(path: Path) -> str:
    """The report of a build's folder (`out/<build>/`).

    `metrics.json` and `verification.json` must be there; a section whose file is not there says so. The same
    files give the same text.

    Raises `StoreError`: a file that must be there is missing, or one that is there is malformed.
    """
    folder = Folder(path)
    lock = folder.lock
    lines = (
        environment()
        .get_template("report.html.j2")
        .render(
            data=folder,
            verdict=verdict(folder.verification),
            ladder=ladder.make(folder),
            plots=training_plots(folder.training) if folder.training else [],
            layers=layer_table(folder),
            floorplan=_floorplan(folder),
            remark=_remark,
            tools=_tools(lock) if lock else [],
            seeds=_seeds(lock) if lock else [],
            config=json.dumps(lock.config, indent=2) if lock else "",
        )
    )
    return "\n".join(line.rstrip() for line in lines.splitlines() if line.strip()) + "\n"


def _floorplan(folder: Folder) -> str | None:
    """The drawing, to be inlined."""
    if not folder.has("floorplan.svg"):
        return None
    path = folder.path / "floorplan.svg"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run `retort build` again") from error
    if not text.startswith("<svg ") or "<script" in text:
        raise StoreError(f"{path}: not a plain SVG image; run `retort build` again")
    return text


def _remark(rung: Rung) -> str | None:
    """Why a rung did not pass."""
    if rung.error:
        return f"Could not be climbed: {rung.error.message}"
    return f"First mismatch: {rung.first_mismatch}" if rung.first_mismatch else rung.skipped


def verdict(rungs: tuple[Rung, ...]) -> Verdict:
    """What the rungs say together: nothing has passed where nothing was run."""
    failed = [rung.rung for rung in rungs if rung.verdict == "failed"]
    errors = [rung.rung for rung in rungs if rung.verdict == "error"]
    passed = sum(rung.passed is True for rung in rungs)
    skipped = [rung.rung for rung in rungs if rung.passed is None]
    if failed:
        return Verdict("failed", f"{len(failed)} of {len(rungs)} rungs failed: {', '.join(failed)}")
    if errors:
        return Verdict(
            "open", f"{len(errors)} of {len(rungs)} rungs could not be climbed: {', '.join(errors)}"
        )
    if not passed:
        return Verdict("open", "no rung of the ladder was run")
    if skipped:
        return Verdict("passed", f"{passed} rungs passed, skipped: {', '.join(skipped)}")
    return Verdict("passed", f"all {passed} rungs passed")


def layer_table(folder: Folder) -> LayerTable | None:
    """The layers of what the board gets: of FINN's RTL where the build has that, else of the core.

    None bounds where the input stream is slower than all of them.
    """
    rows: list[dict[str, JsonValue]]
    if folder.finn_rtl:
        rows = FINN_RTL.plain(folder.finn_rtl)["layers"]
    elif folder.layers is not None:
        rows = LAYERS.plain(folder.layers)
    else:
        return None
    known = dict.fromkeys([*LAYER_COLUMNS, *(key for row in rows for key in row)])
    columns = [key for key in known if any(key in row for row in rows)]
    numeric = [key for key in columns if all(isinstance(row.get(key, 0), int | None) for row in rows)]
    cycles = [int(str(row["cycles"])) for row in rows]
    most = max(cycles, default=0)
    bound = folder.performance.interval_bound_cycles if folder.performance else most
    bounding = [index for index, count in enumerate(cycles) if count and count == max(most, bound)]
    return LayerTable(tuple(columns), frozenset(numeric), tuple(rows), most, frozenset(bounding))


def _tools(lock: Lock) -> list[tuple[str, str, str, str]]:
    """Name, version, digest and stages of Retort and of every tool."""
    stages: dict[tuple[str, str], list[str]] = {}
    for stage, entry in lock.stages.items():
        for name, identity in entry.tools.items():
            stages.setdefault((name, identity), []).append(stage)
    found = []
    for (name, identity), users in sorted(stages.items()):
        told, _, digest = identity.rpartition(" ")
        found.append((name, told or identity, digest if told else "", ", ".join(sorted(users))))
    return [("retort", lock.retort, "", ""), *found]


def _seeds(lock: Lock) -> list[tuple[str, int]]:
    """The build's seed, and every other seed in its configuration."""
    seeds = [("seed", lock.seed)]
    for section, values in lock.config.items():
        if isinstance(values, dict):
            seeds += [
                (f"{section}.{key}", value)
                for key, value in values.items()
                if "seed" in key and isinstance(value, int)
            ]
    return seeds


@cache
def environment() -> Environment:
    """The templates, and the filters that they use."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": lambda share: f"{100 * share:.2f} %",
        "points": _points,
        "frequency": _frequency,
        "duration": _duration,
        "size": _size,
        "cell": _cell,
    }
    return made


def _points(change: float) -> str:
    rounded = round(change, 2)
    return f"{rounded:+.2f}".replace("-", "−") + " pp" if rounded else "±0"


def _frequency(hertz: float) -> str:
    return f"{hertz / 1e6:.2f} MHz"


def _duration(seconds: float) -> str:
    """Three digits, in the unit that suits."""
    if seconds >= 100 or not seconds:
        return f"{seconds:,.0f} s"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _size(octets: int) -> str:
    if octets < 1024:
        return f"{octets} B"
    if octets < 1024 * 1024:
        return f"{octets / 1024:.1f} KiB"
    return f"{octets / 1024 / 1024:.1f} MiB"


def _cell(value: Any) -> str:
    """A value of a table whose columns are not fixed."""
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    return str(value)
