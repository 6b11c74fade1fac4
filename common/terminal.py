"""What a terminal shows: text that may not steer it, and how far a long run is.

Progress is bars on a terminal, plain lines elsewhere, nothing with --quiet or --json.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

T = TypeVar("T")

Step = Callable[[str, int, int], None]
"""`step(label, done, total)`: how far the loop called `label` is. A label's first call starts its clock."""

SECONDS_BETWEEN_LINES = 5.0

SHOWN = 8
"""Items that are told of a longer list."""


def printable(text: str) -> str:
    r"""`text` in one line, every character that prints nothing or steers as an escape such as `\x1b`."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def some(items: Sequence[str] | Iterable[str]) -> str:
    """The items joined by commas; of many the first, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def short(text: str, most: int = 100) -> str:
    """The text, its middle left out where it is longer than `most`."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 3 :]}"


class Display(Protocol):
    """What a run reports to."""

    def note(self, text: str) -> None:
        """Say one line."""

    def step(self, label: str, done: int, total: int) -> None:
        """Say how far a loop is; see `Step`."""


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def step(self, label: str, done: int, total: int) -> None:
        """Drop the step."""


class Lines:
    """Plain lines: a loop's first step, its last, and one every few seconds between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started: dict[str, tuple[float, int]] = {}
        self._said: dict[str, float] = {}

    def note(self, text: str) -> None:
        """Print the line."""
        self._stream.write(printable(text) + "\n")
        self._stream.flush()

    def step(self, label: str, done: int, total: int) -> None:
        """Print label, count, rate and time left, if it is time to."""
        now = self._clock()
        first = label not in self._started
        if not first and done < total and now - self._said[label] < SECONDS_BETWEEN_LINES:
            return
        since, at = self._started.setdefault(label, (now, done))
        self._said[label] = now
        text = f"  {label}: {done}/{total}"
        if done > at and now > since:
            rate = (done - at) / (now - since)
            text += f", {rate:.3g}/s, {(total - done) / rate:.0f} s left"
        if done >= total:
            self._started.pop(label)
        self.note(text)


class Bars:
    """Rich progress bars: label, bar, count, rate, time left."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """Print the line above the bars; the finished loops' bars go."""
        for label in [label for label, task in self._tasks.items() if self._finished(task)]:
            self._progress.remove_task(self._tasks.pop(label))
        self._progress.refresh()
        self._progress.console.print(printable(text), markup=False, highlight=False)

    def step(self, label: str, done: int, total: int) -> None:
        """Move the label's bar."""
        task = self._tasks.get(label)
        if task is None:
            task = self._tasks[label] = self._progress.add_task(label, total=total, rate="")
        elif done < self._task(task).completed:
            self._progress.reset(task)
        speed = self._task(task).speed
        self._progress.update(task, completed=done, total=total, rate=f"{speed:.3g}/s" if speed else "")

    def _finished(self, task: "TaskID") -> bool:
        return self._task(task).finished

    def _task(self, task: "TaskID") -> "Task":
        return next(each for each in self._progress.tasks if each.id == task)


class Shown(AbstractContextManager[Display]):
    """The display for this run, as a context: bars need to be started and stopped."""

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._context: AbstractContextManager[object] = nullcontext()

    def __enter__(self) -> Display:
        """Start to show."""
        if self._quiet:
            return Silent()
        if not self._stream.isatty():
            return Lines(self._stream)
        progress = _rich(self._stream)
        self._context = progress
        progress.start()
        return Bars(progress)

    def __exit__(self, *exc_info: object) -> None:
        """Stop to show."""
        self._context.__exit__(None, None, None)


def track(step: Step, label: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
    """Go over `items` and report each to `step`; `total` where they have no length."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    step(label, 0, count)
    for done, item in enumerate(items, 1):
        yield item
        step(label, done, count)


def _rich(stream: TextIO) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )
