"""Runs that end at a signal, or are killed, and what is left of them: nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hw.tools import guardian, processes

SECONDS = 3.0

START = '''
import subprocess, sys, tempfile, threading, time
from pathlib import Path
from hw.tools.processes import start, supervised

def say():
    print("last words", flush=True)

def ready():
    print("ready", flush=True)

GRANDCHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)
print('started', flush=True)
time.sleep(600)
"""

with supervised(say):
    work = tempfile.TemporaryDirectory(prefix="retort-test-")
    {body}
'''


class Run:
    """A supervised run that has come to its `ready()`."""

    def __init__(self, body: str, folder: Path) -> None:
        lines = START.format(body=body.strip().replace("\n", "\n    "))
        argv = [sys.executable, "-c", lines]
        self.folder = folder
        self.process = subprocess.Popen(
            argv,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int) -> tuple[int, str, float]:
        """Send it a signal: exit code, what it printed then, seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        assert self.process.stdout
        printed = self.process.stdout.read()
        return self.process.wait(), printed, time.monotonic() - began

    def gone(self) -> bool:
        """Whether no process and no file is left; the guardian of a run that was killed takes a moment."""
        psutil.wait_procs(self.children, timeout=60)
        return not any(map(_alive, self.children)) and not list(self.folder.iterdir())


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tmp"
    path.mkdir()
    yield path


WAITS = "ready()\ntime.sleep(600)"
CHILDREN = """
child = start([sys.executable, "-c", GRANDCHILD], stdout=subprocess.PIPE)
child.stdout.readline()
ready()
child.wait()
"""
THREAD = """
def rungs():
    for _ in range(3):
        child = start([sys.executable, "-c", GRANDCHILD], stdout=subprocess.PIPE)
        child.stdout.readline()
        if not done:
            done.append(1)
            ready()
        child.wait()

done = []
thread = threading.Thread(target=rungs)
thread.start()
thread.join()
"""
LONG_CALL = """
import hashlib
threading.Timer(0.5, ready).start()  # from within the call
hashlib.pbkdf2_hmac("sha512", b"", b"", 10**9)
"""
ENDLESS_CALL = """
import collections, itertools, os
collections.deque(itertools.chain(map(os.write, [1], [b"ready\\n"]), itertools.repeat(0)), maxlen=0)
"""
DEAF = """
try:
    ready()
    time.sleep(600)
finally:
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
"""


@pytest.mark.parametrize("number", guardian.SIGNALS)
@pytest.mark.parametrize(
    "body", [WAITS, CHILDREN, THREAD, LONG_CALL, DEAF], ids=["waits", "children", "thread", "call", "deaf"]
)
def test_signal_ends_a_run_and_all_of_it(body: str, number: signal.Signals, folder: Path) -> None:
    run = Run(body, folder)
    code, printed, seconds = run.end(number)
    assert code == 128 + number
    assert seconds < SECONDS
    if body in (LONG_CALL, DEAF):
        assert printed == "last words\n"
    assert run.gone()


def test_call_that_lets_no_thread_run(folder: Path) -> None:
    """The guardian kills the run, for nobody else can."""
    run = Run(ENDLESS_CALL, folder)
    code, _, seconds = run.end(signal.SIGTERM)
    assert code == -signal.SIGKILL
    assert guardian.LIMIT <= seconds < 2 * guardian.LIMIT
    assert run.gone()


@pytest.mark.parametrize(
    "body", [WAITS, CHILDREN, THREAD, LONG_CALL], ids=["waits", "children", "thread", "call"]
)
def test_killed_run_leaves_nothing(body: str, folder: Path) -> None:
    run = Run(body, folder)
    assert run.children
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
    while not run.gone():  # pytest's limit ends this
        time.sleep(0.01)


def test_ended_run_leaves_nothing(folder: Path) -> None:
    run = Run(CHILDREN.replace("child.wait()", ""), folder)
    assert run.process.wait() == 0
    assert run.gone()


def test_what_was_killed_with_its_guardian_is_removed_by_the_next_run(folder: Path) -> None:
    running = Run(WAITS, folder)
    killed = Run(WAITS, folder)
    for child in killed.children:
        child.kill()
    killed.process.kill()
    killed.process.wait()
    (folder / "retort-of-something-else").mkdir()
    assert len(list(folder.iterdir())) == 3
    next_run = Run("ready()", folder)
    assert next_run.process.wait() == 0
    assert len(list(folder.iterdir())) == 2, "the run that goes on keeps its folder"
    running.end(signal.SIGTERM)
    assert [path.name for path in folder.iterdir()] == ["retort-of-something-else"]


def test_signal_that_is_ignored_stays_so(folder: Path) -> None:
    """As of a command that a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = Run(WAITS, folder)
    finally:
        signal.signal(signal.SIGINT, before)
    run.process.send_signal(signal.SIGINT)
    assert run.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM


def test_environment_and_temporary_folder_are_as_before() -> None:
    import tempfile

    before = {**os.environ}, tempfile.gettempdir(), signal.getsignal(signal.SIGTERM)
    with processes.supervised(lambda: None):
        folder = Path(tempfile.gettempdir())
        assert os.environ["TMPDIR"] == os.environ[guardian.MARK] == str(folder)
        assert folder.is_dir()
    assert ({**os.environ}, tempfile.gettempdir(), signal.getsignal(signal.SIGTERM)) == before
    assert not folder.exists()
