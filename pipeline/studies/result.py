"""What a study gives: `study.json`, and its tables as `study.html` and `study.md`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import write_atomic, writing
from pipeline.artefacts.study import STUDY, Interval, Labels, Result, StudyResult, Summary
from pipeline.studies.base import Study

PAGE, TEXT = "study.html", "study.md"
CONFIDENCE = 0.95


def summarize(values: NDArray[np.float64]) -> Interval:
    """Summarize at least one value."""
    from scipy import stats

    half = None
    if len(values) > 1:
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return Interval(float(values.mean()), half, float(values.min()), float(values.max()))


def unique(results: Iterable[Result]) -> list[Result]:
    """The results, those with equal labels once."""
    return list({_key(each.labels): each for each in results}.values())


def summaries(results: Sequence[Result], study: Study) -> list[Summary]:
    """Summarize the results over their seeds, each beside its reference of the same seeds."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(_key(_unseeded(result.labels)), []).append(result)
    found: dict[str, list[Summary]] = {}
    for key, group in grouped.items():
        labels = _unseeded(group[0].labels)
        reference = study.reference(labels)
        at = key if reference is None else _key(reference)
        found.setdefault(at if study.ranked else "", []).append(
            _summary(labels, group, None if reference is None else grouped[at])
        )
    if study.ranked:
        for each in found.values():
            each.sort(key=lambda one: (one.verdict != "reference", -next(iter(one.metrics.values())).mean))
    return [one for each in found.values() for one in each]


def _summary(labels: Labels, group: Sequence[Result], reference: Sequence[Result] | None) -> Summary:
    def column(of: Sequence[Result], name: str) -> NDArray[np.float64]:
        return np.array([each.metrics[name] for each in of])

    names = list(group[0].metrics)
    metrics = {name: summarize(column(group, name)) for name in names}
    if reference is None or reference is group:
        return Summary(labels, len(group), metrics, {}, "" if reference is None else "reference")
    differences = {
        name: summarize(column(group, name) - column(reference, name))
        for name in names
        if name in reference[0].metrics
    }
    first = next(iter(differences.values()))
    verdict = "open"
    if first.interval is not None and first.interval < abs(first.mean):
        verdict = "better" if first.mean > 0 else "worse"
    return Summary(labels, len(group), metrics, differences, verdict)


def write(found: StudyResult, folder: Path) -> Path:
    """Write all three files into a build's folder, and say where the page is."""
    from pipeline.report.render import environment

    rows, firsts = table(found), [next(iter(each.differences.values()), None) for each in found.summaries]
    reach = max((abs(each.mean) + (each.interval or 0) for each in firsts if each), default=0)
    pairs = list(zip(found.summaries, rows[1:], strict=True))
    template = environment().get_template("study.html.j2")
    page = template.render(found=found, caption=caption(found), rows=rows, pairs=pairs, reach=reach)
    lines = [line.rstrip() for line in page.splitlines() if line.strip()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / STUDY.name, STUDY.text(found).encode())
        write_atomic(folder / TEXT, markdown(found).encode())
        write_atomic(folder / PAGE, ("\n".join(lines) + "\n").encode())
    return folder / PAGE


def caption(found: StudyResult) -> str:
    """How the table was made, in a sentence."""
    made = ", ".join(f"{name} {what.split()[0]}" for name, what in found.tools.items())
    keys = ", ".join(f"{key} {value}" for key, value in found.study.items() if value not in (None, [], ()))
    teacher = "" if found.teacher is None else f"; teacher {found.teacher:.2%}"
    return f"{found.build}: {keys}{teacher}. Made with {made}."


def table(found: StudyResult) -> list[list[str]]:
    """The summaries as rows of text, heads first; bold (`**`) where a difference's interval excludes 0."""
    labels = list(dict.fromkeys(name for each in found.summaries for name in each.labels))
    metrics = list(dict.fromkeys(name for each in found.summaries for name in each.metrics))
    against = [name for name in metrics if any(name in each.differences for each in found.summaries)]
    heads = [f"{name}, {found.units.get(name, '%')}".removesuffix(", ") for name in metrics]
    rows = [[*labels, *heads, *(f"{name}, difference" for name in against)]]
    for each in found.summaries:
        cells = [_cell(each.metrics.get(name), found.units, name) for name in metrics]
        differences = [_cell(each.differences.get(name), found.units, name, "+") for name in against]
        rows.append([*(str(each.labels.get(name, "")) for name in labels), *cells, *differences])
    return rows


def markdown(found: StudyResult) -> str:
    """The table as Markdown, below its caption."""
    heads, *rows = table(found)
    lines = [caption(found), "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in found.notes)]) + "\n"


def _cell(value: Interval | None, units: Mapping[str, str], name: str, sign: str = "") -> str:
    if value is None:
        return ""
    scale = 1 if name in units else 100
    text = f"{scale * value.mean:{sign}.2f}"
    if value.interval is not None:
        text += f" ± {scale * value.interval:.2f}"
        if sign and value.interval < abs(value.mean):
            text = f"**{text}**"
    return text


def _unseeded(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if name != "seed"}


def _key(labels: Labels) -> str:
    return json.dumps(labels, sort_keys=True)
