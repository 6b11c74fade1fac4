"""Curves for the report: matplotlib's SVG, made to take its colours and fonts from the page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from models.history import History
from pipeline.artefacts.training import Training

# Colours that matplotlib writes, and what the page puts in their place.
INK, GRID = "#010101", "#020202"
COLOURS = ("#010201", "#010202", "#010203", "#010204", "#010205", "#010206")
_PAGE = {INK: "var(--muted)", GRID: "var(--line)"} | {
    colour: f"var(--c{index})" for index, colour in enumerate(COLOURS, start=1)
}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "retort",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
_STEPS = [1, 2, 5, 10]


@dataclass(frozen=True)
class Series:
    """A line: its label, its values, and the index of the one to mark with a dot."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marked: int | None = None
    dashed: bool = False


def training_plots(training: Training) -> list[str]:
    """Temperature curve, validation accuracy and losses, as far as they were recorded."""
    plots = []
    if training.temperature_curve:
        plots.append(_temperature(training))
    runs = _runs(training)
    if runs:
        accuracy = [
            Series(label, _epochs(run), [epoch.validation_score for epoch in run.epochs], run.chosen)
            for label, run in runs
        ]
        plots.append(_plot("accuracy", "Validation accuracy", "epoch", accuracy, percent=True))
    if training.student:
        plots.append(_plot("student", "Student: loss", "epoch", _losses(training.student)))
    if training.baseline:
        title = "Student without distillation: loss"
        plots.append(_plot("baseline", title, "epoch", _losses(training.baseline)))
    if training.teacher:
        series = [
            Series(f"teacher {index}", _epochs(run), [epoch.loss for epoch in run.epochs])
            for index, run in enumerate(training.teacher)
        ]
        plots.append(_plot("teacher", "Teachers: loss", "epoch", series))
    return plots


def _runs(training: Training) -> list[tuple[str, History]]:
    named = [("student", training.student), ("without distillation", training.baseline)]
    runs = [(label, run) for label, run in named if run]
    return runs + [(f"teacher {index}", run) for index, run in enumerate(training.teacher)]


def _epochs(run: History) -> list[float]:
    return [float(index) for index in range(1, len(run.epochs) + 1)]


def _losses(run: History) -> list[Series]:
    """The loss, and its terms where there are several."""
    terms = list(dict.fromkeys(name for epoch in run.epochs for name in epoch.terms))
    series = [Series("loss", _epochs(run), [epoch.loss for epoch in run.epochs], run.chosen)]
    if len(terms) > 1:
        nan = float("nan")
        series += [
            Series(name, _epochs(run), [epoch.terms.get(name, nan) for epoch in run.epochs], dashed=True)
            for name in terms
        ]
    return series


def _temperature(training: Training) -> str:
    curve = sorted(training.temperature_curve, key=lambda point: point.temperature)
    temperatures = [point.temperature for point in curve]
    chosen = training.temperature
    series = Series(
        "student",
        temperatures,
        [point.validation_score for point in curve],
        temperatures.index(chosen) if chosen in temperatures else None,
    )
    title = "Validation accuracy over temperature"
    if chosen is not None:
        title += f" (chosen: {chosen:g})"
    return _plot("temperature", title, "temperature", [series], percent=True, points=True)


def _plot(
    name: str,
    title: str,
    along: str,
    series: Sequence[Series],
    *,
    percent: bool = False,
    points: bool = False,
) -> str:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(5.4, 3.1), layout="constrained")
        axes = figure.add_subplot()
        for index, line in enumerate(series):
            _draw(axes, line, COLOURS[index % len(COLOURS)], points)
        axes.set_title(title)
        axes.set_xlabel(along)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=not points, steps=_STEPS))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_ylim(*_settled(series))
        if len(series) > 1:
            axes.legend()
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _for_page(text.getvalue(), name, title)


def _settled(series: Sequence[Series]) -> tuple[float, float]:
    """The range of the values without each line's first tenth, which would flatten all that follows."""
    values = [value for line in series for value in line.y[len(line.y) // 10 :]]
    margin = 0.05 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin


def _draw(axes: Axes, line: Series, colour: str, points: bool) -> None:
    style = "--" if line.dashed else "-"
    axes.plot(line.x, line.y, style, color=colour, label=line.label, marker="." if points else "")
    if line.marked is not None:
        axes.plot(line.x[line.marked], line.y[line.marked], "o", color=colour, markersize=6)


def _for_page(svg: str, name: str, title: str) -> str:
    """The svg element alone: as wide as its place, names its own, colours and fonts the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<g id=\"[^\"]*\">", "<g>", svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    head = f'<svg class="plot" role="img" \\1>\n<title>{escape(title)}</title>'
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', head, svg, count=1)
    svg = svg.replace(' id="', f' id="{name}-')
    svg = re.sub(r"(href=\"|url\()#", rf"\1#{name}-", svg)
    for colour, own in _PAGE.items():
        svg = svg.replace(colour, own)
    return svg
