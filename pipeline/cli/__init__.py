"""The command line, `retort`: one module for each group of commands."""

import signal
from types import FrameType

from pipeline.cli.app import app
from pipeline.cli.building import build, plan
from pipeline.cli.comparing import compare
from pipeline.cli.deploying import deploy
from pipeline.cli.detection import detect
from pipeline.cli.experiments import experiment
from pipeline.cli.folder import flash, report, verify
from pipeline.cli.inference import infer
from pipeline.cli.machine import boards, doctor
from pipeline.cli.methods import methods
from pipeline.cli.robustness import robustness
from pipeline.cli.sizing import size
from pipeline.cli.specializing import specialize
from pipeline.cli.tree import tree

COMMANDS = (
    doctor,
    boards,
    methods,
    size,
    plan,
    build,
    verify,
    report,
    infer,
    flash,
    deploy,
    compare,
    robustness,
    tree,
    detect,
)
for command in COMMANDS:
    app.command()(command)
experiment.command()(specialize)
app.add_typer(experiment)


def main() -> None:
    """The console entry: SIGTERM ends a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app(prog_name="retort")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
