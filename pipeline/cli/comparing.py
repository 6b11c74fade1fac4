"""`retort compare`: which distillation method helps this student, at which bit widths."""

from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import ConfigError
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
from pipeline.config.file import load_checked
from pipeline.engine.store import Store


def compare(
    ctx: typer.Context,
    file: BuildFile,
    methods: Annotated[
        str,
        typer.Option(
            help="Names, by commas; + joins several; `all` that fit, or `build` for the file's own."
        ),
    ] = "build",
    bits: Annotated[str, typer.Option(help="Widths of weights and activations, by commas.")] = "",
    seeds: Annotated[int, typer.Option(min=2, max=1000, help="Students of each, with other seeds.")] = 5,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="In place of the build file's.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=100_000_000, help="To train on; all if not given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="A Dask scheduler's address, tcp://...")] = None,
    out: Annotated[Path, typer.Option(help="The build's folder is made in this one.")] = Path("out"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Train by each method and by labels alone, over seeds and bit widths; write compare.html and .json."""
    config = load_checked(file)
    from pipeline.studies.comparison import Plan
    from pipeline.studies.comparison import compare as run
    from pipeline.studies.comparison.page import write

    names = None if methods == "all" else tuple(methods.split(","))
    plan = Plan(names, _widths(bits), seeds, epochs, samples)
    with shown(ctx, as_json) as display:
        found = run(config, plan, Store(store), fingerprint, display, workers, cluster)
    page = write(found, out / config.name)
    if as_json:
        print_json(found)
        return
    say(f"teacher: {found['teacher_accuracy']:.2%}; {seeds} seeds, 95 % intervals of the mean")
    print_table([("bits", "method", "accuracy", "to no distillation", "", "agreement"), *_cells(found)])
    for reason in found["left_out"].values():
        say(f"left out: {reason}")
    say(f"written: {page}")


def _widths(bits: str) -> tuple[int, ...]:
    try:
        found = tuple(int(width) for width in bits.split(",") if width)
    except ValueError as error:
        raise ConfigError(f"--bits: '{bits}' is no list of numbers; give e.g. 4,3,2") from error
    if any(not 1 <= width <= 8 for width in found):
        raise ConfigError(f"--bits: {bits}: widths are 1 to 8")
    return found


def _cells(found: dict[str, Any]) -> list[tuple[str, ...]]:
    def interval(value: dict[str, float], sign: str = "") -> str:
        return f"{100 * value['mean']:{sign}.2f} ± {100 * value['interval']:.2f} %"

    return [
        (
            str(row["bits"] or "as built"),
            row["method"],
            interval(row["accuracy"]),
            interval(row["difference"], "+"),
            row["verdict"],
            f"{row['agreement']['mean']:.2%}",
        )
        for row in found["rows"]
    ]
