"""The application: its global options, what errors look like, and what commands share."""

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from common.errors import RetortError, kinds
from common.files import disk_error, output_file
from common.terminal import Shown, printable
from hw.tools.processes import Interrupted

INTERRUPTED = 130
LAST_WORDS = "interrupted; the same command goes on from here"
UNEXPECTED = 70


class Commands(TyperGroup):
    """Commands whose errors are one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn what it raises into an exit code."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            error.message = printable(error.message)  # what was typed is echoed
            raise
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt as error:
            say_interrupted()
            raise typer.Exit(error.exit_code if isinstance(error, Interrupted) else INTERRUPTED) from error
        except Exception as error:
            if ctx.params["debug"]:
                typer.echo(traceback.format_exc(), err=True, nl=False)
            known = error if isinstance(error, RetortError) else disk_error(error) or error
            for line in _lines(known):
                say(f"error: {line}", err=True)
            raise typer.Exit(_code(known)) from error


def say_interrupted() -> None:
    """Say the line that ends an interrupted command."""
    global _said
    _said = True
    typer.echo(LAST_WORDS, err=True)


def say_interrupted_once() -> None:
    """Say it where the command itself did not come to it, and give the terminal its cursor back."""
    if not _said:
        typer.echo(("\x1b[?25h" if sys.stderr.isatty() else "") + LAST_WORDS, err=True)


_said = False


def _code(error: Exception) -> int:
    if isinstance(error, MemoryError):
        return RetortError.exit_code
    return error.exit_code if isinstance(error, RetortError) else UNEXPECTED


def _lines(error: Exception) -> list[str]:
    """What is told of an error: a line for each of its problems."""
    if isinstance(error, RetortError):
        return [_one_line(problem) for problem in error.args]
    if isinstance(error, MemoryError):  # of this machine, not a fault of the code
        return [f"out of memory: {_one_line(error) or 'no more'}; give less data, or take a larger machine"]
    return [f"{_one_line(f'{type(error).__name__}: {error}')}; unexpected, `retort --debug ...` shows where"]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


@dataclass(frozen=True)
class Settings:
    """The global options."""

    quiet: bool


def _exit_codes() -> str:
    """The end of the help: a line for each exit code, which the `\b` keeps apart."""
    codes = {0: "Success."}
    codes |= {kind.exit_code: (kind.__doc__ or "").splitlines()[0] for kind in kinds()}
    codes[RetortError.exit_code] = "Any other error that is foreseen."
    codes |= {UNEXPECTED: "An unexpected error: a fault of Retort.", INTERRUPTED: "Ctrl-C.", 143: "SIGTERM."}
    return "\b\nExit codes:\n" + "\n".join(f"{code:>5}  {what}" for code, what in codes.items())


app = typer.Typer(
    cls=Commands,
    epilog=_exit_codes(),
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _writable(path: Path | None) -> Path | None:
    """The callback of options that name a file to write: what cannot be written is told before any work."""
    if path is not None:
        output_file(path)
    return path


BuildFile = Annotated[Path, typer.Argument(metavar="FILE", help="The build file (TOML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A value of the build file, by its dotted key.", show_default=False
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a build.", show_default=False)]
JunitFile = Annotated[Path | None, typer.Option("--junit", help="Write a JUnit file.", callback=_writable)]
OutputFile = Annotated[
    Path | None, typer.Option("--output", help="Write the core's outputs here (.npy).", callback=_writable)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and no progress.")]
StoreFolder = Annotated[
    Path, typer.Option("--store", envvar="RETORT_STORE", help="The store of finished stages.")
]
DEFAULT_STORE = Path(".retort")


@app.callback()
def options(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when an error ends a command.")
    ] = False,
) -> None:
    """Distil a network, compile it to an FPGA bitstream, and prove that nothing changed on the way."""
    ctx.obj = Settings(quiet)


def shown(ctx: typer.Context, as_json: bool = False) -> Shown:
    """The display of progress that the options ask for."""
    return Shown(quiet=ctx.obj.quiet or as_json)


def say(text: str, err: bool = False) -> None:
    """Print a line on stdout (`err`: on stderr); nothing in it steers the terminal."""
    typer.echo(printable(text), err=err)


def print_json(value: object) -> None:
    """Print a result as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as aligned columns on stdout."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
