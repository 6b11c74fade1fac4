"""Writes `docs/exit-codes.md` from `common/errors.py`: `python -m tests.docs.exit_codes`."""

from pathlib import Path

from common.errors import kinds
from pipeline.cli.app import INTERRUPTED, UNEXPECTED

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"
HEAD = """# Exit codes

This page tells scripts what the exit code of a `retort` command means. It is generated from
`common/errors.py`: `python -m tests.docs.exit_codes`.

An error is one line on standard error. The line says what is wrong, where, and what to do. A build file with
several problems gives a line for each. `retort --debug` also shows the traceback.

| code | class | meaning |
| --- | --- | --- |
"""
TAIL = """
Codes 14 to 24 are of boards. Ctrl-C and SIGTERM end a command within three seconds. The command also ends
every process that it started and removes its temporary files. The same command goes on from there.
"""


def page() -> str:
    """The page."""
    rows = [(0, "", "Success.")]
    rows += [(kind.exit_code, kind.__name__, (kind.__doc__ or "").splitlines()[0]) for kind in kinds()[1:]]
    rows.insert(1, (1, "RetortError", "Any other error that is foreseen."))
    rows += [(UNEXPECTED, "", "An unexpected error: a fault of Retort."), (INTERRUPTED, "", "Ctrl-C.")]
    rows.append((143, "", "SIGTERM."))
    return (
        HEAD
        + "".join(f"| {code} | {f'`{name}`' if name else ''} | {text} |\n" for code, name, text in rows)
        + TAIL
    )


if __name__ == "__main__":
    PAGE.write_text(page())
