"""What is printed steers no terminal, and long lists are told in a line."""

import io

import pytest
from typer.testing import CliRunner

from common.terminal import Lines, printable, short, some
from pipeline.cli.app import app
from pipeline.engine.key import changes
from tests.pipeline.toy import BUILDS

NASTY = "a\x1b[31mb\x07\r\nc\u202ed\ud800\x9b"
PLAIN = "a\\x1b[31mb\\x07\\r\\nc\\u202ed\\ud800\\x9b"


def test_printable() -> None:
    assert printable(NASTY) == PLAIN
    assert printable("90.00 ± 1.00 %, größer") == "90.00 ± 1.00 %, größer"


def test_progress() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.note(NASTY)
    lines.step(NASTY, 0, 1)
    assert stream.getvalue() == f"{PLAIN}\n  {PLAIN}: 0/1\n"


@pytest.mark.parametrize(
    "arguments", [["plan", "--until", "x\x1b[31m"], ["plan", "--x\x1b[31m"], ["size", "--x\x1b]0;a\x07"]]
)
def test_messages_of_commands(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, [*arguments, str(BUILDS / "digits-icebreaker.toml")])
    assert done.exit_code == 2 and "x\\x1b" in done.stderr and "\x1b" not in done.stderr + done.stdout


def test_an_unknown_key_that_would_colour_the_terminal(tmp_path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('"x\\u001b[31m" = 1\n"y\\u0007" = 2\n' + (BUILDS / "digits-icebreaker.toml").read_text())
    done = CliRunner().invoke(app, ["plan", str(path)])
    assert done.exit_code == 2
    assert [line.split(": ")[:3] for line in done.stderr.splitlines()] == [
        ["error", str(path), "x\\x1b[31m"],
        ["error", str(path), "y\\x07"],
    ]


def test_long_lists_are_told_in_a_line() -> None:
    before = {"version": 1, "seed": 1, "config": list(range(100_000)), "inputs": {}, "tools": {}}
    now = before | {"config": [value + 1 for value in before["config"]]}
    (change,) = changes(before, now, [])
    assert change.startswith("configuration changed: [0], [1], [2]") and len(change) < 200
    assert change.endswith("and 99992 more")
    assert some(["a", "b"]) == "a, b" and short("x" * 1000, 30) == "x" * 15 + "..." + "x" * 10
