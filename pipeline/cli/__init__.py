"""The command line, `retort`: one module for each group of commands."""

from hw.tools.processes import supervised
from pipeline.cli.app import app, say_interrupted_once
from pipeline.cli.building import build, plan
from pipeline.cli.deploying import deploy
from pipeline.cli.folder import flash, report, verify
from pipeline.cli.inference import infer
from pipeline.cli.machine import boards, doctor
from pipeline.cli.methods import methods
from pipeline.cli.sizing import size
from pipeline.cli.studying import study

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
    study,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """The console entry: Ctrl-C and SIGTERM end a run within seconds, with all that it started."""
    with supervised(say_interrupted_once):
        app(prog_name="retort")
