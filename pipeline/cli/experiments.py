"""`retort experiment`: the experiments of arXiv:1503.02531 with a build's own teacher and student."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hw.tools.tools import fingerprint
from pipeline.cli.app import (
    DEFAULT_STORE,
    AsJson,
    BuildFile,
    StoreFolder,
    print_json,
    print_table,
    say,
    shown,
)
from pipeline.config.build import Build, needed
from pipeline.config.file import load_checked
from pipeline.engine.store import Store

if TYPE_CHECKING:
    from pipeline.studies.experiments import Experiment

Seeds = Annotated[int, typer.Option(min=2, max=1000, help="Students of each kind, with other seeds.")]
Epochs = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="Of each student; the build's, if not given.")
]

experiment = typer.Typer(
    name="experiment",
    help="Hinton's experiments (arXiv:1503.02531) with a build's own teacher and student; specialists.",
    no_args_is_help=True,
)


@experiment.command()
def temperature(
    ctx: typer.Context,
    file: BuildFile,
    values: Annotated[
        list[float] | None,
        typer.Option("--temperature", metavar="T", help="One to try, again and again; else the build's."),
    ] = None,
    seeds: Seeds = 3,
    epochs: Epochs = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Search for the temperature that is best on validation."""
    config = load_checked(file)
    from pipeline.studies.experiments import TEMPERATURES, TemperatureSearch

    chosen = tuple(values or needed(config.distill, "distill").temperatures or TEMPERATURES)
    search = TemperatureSearch(temperatures=chosen, seeds=seeds, epochs=epochs)
    found = _perform(ctx, search, config, store, as_json)
    if as_json:
        return
    rows = [
        (f"{row['temperature']:g}", *_cells(row["validation"]), *_cells(row["test"]))
        for row in found["curve"]
    ]
    print_table([("temperature", "validation", "interval", "test", "interval"), *rows])
    best = found["best"]
    validation, interval = _cells(best["validation"])
    say(f"best on validation: {best['temperature']:g}, {validation} +- {interval}")


@experiment.command("missing-class")
def missing_class(
    ctx: typer.Context,
    file: BuildFile,
    label: Annotated[int, typer.Option("--class", metavar="N", help="The class to leave out.")],
    seeds: Seeds = 3,
    epochs: Epochs = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Distil without one class, then correct its logit."""
    config = load_checked(file)
    from pipeline.studies.experiments import MissingClass

    found = _perform(ctx, MissingClass(label=label, seeds=seeds, epochs=epochs), config, store, as_json)
    if as_json:
        return
    offset, teacher = found["offset"], found["teacher"]
    say(
        f"class {label}, {found['test_samples_of_class']} samples of the test split, never shown to "
        f"{seeds} students; logit corrected by {offset['mean']:+.2f} +- {offset['interval']:.2f}"
    )
    rows = [
        (name, *_cells(found[when]["class_accuracy"]), *_cells(found[when]["accuracy"]))
        for name, when in (("students", "before"), ("students, corrected", "after"))
    ]
    taught = ("teacher", f"{teacher['class_accuracy']:.2%}", "", f"{teacher['accuracy']:.2%}", "")
    print_table([("", f"class {label}", "interval", "all classes", "interval"), *rows, taught])


@experiment.command("soft-targets")
def soft_targets(
    ctx: typer.Context,
    file: BuildFile,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the training split.")] = 0.03,
    seeds: Seeds = 3,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Of each student; for as many steps as the build's, if not given."
        ),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Train on a small share of the data, with hard targets and with soft ones."""
    config = load_checked(file)
    from pipeline.studies.experiments import SoftTargets

    found = _perform(ctx, SoftTargets(share=share, seeds=seeds, epochs=epochs), config, store, as_json)
    if as_json:
        return
    say(
        f"{share:.1%} of the training split, {found['samples']} samples with their views, "
        f"{found['epochs']} epochs; teacher {found['teacher_accuracy']:.2%} on test"
    )
    rows = [
        (name, *_cells(found[key]["train"]), *_cells(found[key]["test"]))
        for name, key in (("hard targets", "hard"), ("soft targets", "soft"), ("difference", "difference"))
    ]
    print_table([("", "train", "interval", "test", "interval"), *rows])


def _perform(
    ctx: typer.Context, experiment: "Experiment", config: Build, store: Path, as_json: bool
) -> dict[str, Any]:
    """Run it; print what it found, if that is to be JSON."""
    from pipeline.studies.experiments import perform

    with shown(ctx, as_json) as display:
        found = perform(experiment, config, Store(store), fingerprint, display)
    if as_json:
        print_json(found)
    return found


def _cells(summary: Mapping[str, float]) -> tuple[str, str]:
    """Mean, and half the 95 % interval."""
    return f"{summary['mean']:.2%}", f"{summary['interval']:.2%}"
