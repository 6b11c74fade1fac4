import io
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress, TextColumn

from common.terminal import Bars, Lines, Shown, Silent, track


def test_lines_are_few_and_tell_rate_and_time_left() -> None:
    stream, times = io.StringIO(), iter([0.0, 1.0, 6.0, 7.0, 10.0])
    lines = Lines(stream, lambda: next(times))
    for done in (0, 10, 60, 70, 100):
        lines.step("train", done, 100)
    lines.note("done")
    assert stream.getvalue().splitlines() == [
        "  train: 0/100",
        "  train: 60/100, 10/s, 4 s left",
        "  train: 100/100, 10/s, 0 s left",
        "done",
    ]


def test_a_label_may_run_again() -> None:
    stream = io.StringIO()
    lines = Lines(stream, iter([0.0, 1.0, 100.0, 102.0]).__next__)
    for done in (0, 2, 0, 2):
        lines.step("epoch", done, 2)
    assert stream.getvalue().splitlines()[-1] == "  epoch: 2/2, 1/s, 0 s left"


def test_track() -> None:
    steps: list[tuple[str, int, int]] = []

    def unsized() -> Iterator[str]:
        yield from "xy"

    assert list(track(lambda *step: steps.append(step), "loop", "ab")) == ["a", "b"]
    assert steps == [("loop", 0, 2), ("loop", 1, 2), ("loop", 2, 2)]
    assert list(track(lambda *step: steps.append(step), "loop", unsized(), 2)) == ["x", "y"]
    assert steps[-1] == ("loop", 2, 2)


def test_bars() -> None:
    progress = Progress(TextColumn("{task.description}"), console=Console(file=io.StringIO()))
    bars = Bars(progress)
    bars.step("a", 1, 2)
    bars.step("b", 1, 2)
    bars.step("a", 2, 2)
    bars.step("b", 2, 2)
    bars.step("b", 0, 2)
    bars.note("next [stage]")
    assert [task.description for task in progress.tasks] == ["b"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_display_by_stream() -> None:
    with Shown(quiet=True, stream=Terminal()) as display:
        assert isinstance(display, Silent)
    with Shown(quiet=False, stream=io.StringIO()) as display:
        assert isinstance(display, Lines)
    with Shown(quiet=False, stream=Terminal()) as display:
        assert isinstance(display, Bars)
        display.step("train", 1, 2)
