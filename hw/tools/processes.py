"""The one way to start processes, and what ends them with the run.

While a run is `supervised`, its temporary files are in a folder of its own, and it and all its processes end
within seconds of a signal, whatever they are at.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn, TypeAlias

from hw.tools import guardian

GRACE = 1.5
"""Seconds that a run has to end by itself after a signal; then it is ended."""
_LOCK = ".retort-run.lock"  # of no name that a folder of the user has
_Guard: TypeAlias = "subprocess.Popen[bytes]"


class Interrupted(KeyboardInterrupt):
    """A signal ends the run; `exit_code` is what a shell makes of that signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Signals:
    """The signal that ends the run, and whether it was raised in the main thread.

    Whoever starts a process holds the lock, so that none starts unseen after a signal.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.number: int | None = None
        self.raised = False


_signals = _Signals()


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    stdout: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, without input; errors go where `stdout` does.

    `env` is added to the environment. Raises `OSError` where it cannot start, `Interrupted` at the end of the
    run, when only the main thread may start processes, to clean up.
    """
    with _signals.lock:
        if _signals.number and threading.current_thread() is not threading.main_thread():
            raise Interrupted(_signals.number)
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that was started here, and all that it started; reap it."""
    with contextlib.suppress(ProcessLookupError):  # all of them may be gone already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def supervised(last_words: Callable[[], None]) -> Iterator[None]:
    """A run that ends at a signal, with its processes and temporary files, also if it is killed.

    The main thread gets `Interrupted` at once. Where it does not react, because it is in a long call or waits
    for a thread, the run calls `last_words` and ends. What a run that was killed together with its guardian
    left is removed first.
    """
    _sweep(Path(tempfile.gettempdir()))
    try:
        with _own_folder() as folder, _guarded(folder) as guard, _handlers(guard, last_words):
            yield
    finally:
        if _signals.number is not None:
            _exit(_signals.number)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """The folder for temporary files of this process and its children, whose lock this process holds."""
    before = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="retort-"))
    with (folder / f"{_LOCK}.new").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").rename(folder / _LOCK)  # a lock that is seen is held
        tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


def _sweep(parent: Path) -> None:
    """Remove the folders of runs that are no more."""
    for lock in parent.glob(f"retort-*/{_LOCK}"):
        with contextlib.suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


@contextlib.contextmanager
def _guarded(folder: Path) -> Iterator[_Guard]:
    """A guardian of the folder and of all processes that inherit this one's environment."""
    argv = [sys.executable, "-I", "-S", guardian.__file__, str(folder), str(os.getpid())]
    process = subprocess.Popen(
        argv,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdin
    os.set_blocking(process.stdin.fileno(), False)  # signals are written to it, and must not wait
    before = {name: os.environ.get(name) for name in (guardian.MARK, "TMPDIR")}
    os.environ.update({guardian.MARK: str(folder), "TMPDIR": str(folder)})
    with process:
        try:
            yield process
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            _clean_up(process)


def _exit(number: int) -> NoReturn:
    """End at once: the interpreter takes seconds to unload torch, and waits for threads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(128 + number)


def _clean_up(guard: _Guard) -> None:
    """Have the guardian clean up, and wait for it."""
    assert guard.stdin
    with contextlib.suppress(OSError):
        guard.stdin.write(guardian.END)
    with contextlib.suppress(subprocess.TimeoutExpired):
        guard.wait(GRACE)


@contextlib.contextmanager
def _handlers(guard: _Guard, last_words: Callable[[], None]) -> Iterator[None]:
    """Pass signals to the main thread and a watching one, unless the run's parent ignores them."""
    assert guard.stdin
    _signals.number, _signals.raised = None, False
    numbers = [each for each in guardian.SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    waking = signal.set_wakeup_fd(guard.stdin.fileno())
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    threading.Thread(target=_watch, args=(guard, last_words), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(waking)
        if _signals.number is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the main thread's work. A second signal must not end what cleans up."""
    with _signals.lock:
        _signals.number = number = _signals.number or number
        again, _signals.raised = _signals.raised, True
    if not again:
        raise Interrupted(number)


def _watch(guard: _Guard, last_words: Callable[[], None]) -> None:
    """End the run some time after a signal, which comes through the guardian.

    The C level writes to the guardian at once, also while the main thread is in a long call. A main thread
    that ends by itself is faster.
    """
    assert guard.stdout
    told = guard.stdout.read(1)
    if not told:
        return
    with _signals.lock:
        _signals.number = number = _signals.number or told[0]
    time.sleep(GRACE)
    last_words()
    _clean_up(guard)
    _exit(number)
