"""Ends all processes of a run and removes its temporary files, however the run ends.

It is a process of its own, since a killed run can do neither, and uses the standard library only.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "RETORT_RUN"
"""The variable that every process of a run inherits."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END = b"\0"
LIMIT = 2.7
"""Seconds that a run may take after a signal."""
ROUNDS = 100
"""How often it looks again for processes that were just starting."""


def end_marked(run: str) -> None:
    """Kill every process whose environment has the mark of that run, until none is left.

    Without `/proc` it finds none; a process that hangs in the kernel survives.
    """
    for _ in range(ROUNDS):
        found = _marked(run)
        if not found:
            return
        for process in found:
            with contextlib.suppress(OSError):  # gone by itself
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _marked(run: str) -> list[int]:
    mark = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
            dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:  # gone, or another user's
            continue
        if marked and not dead and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def main(run: str, parent: int) -> None:
    """Guard the run of process `parent`, whose folder is `run`, until it is over.

    Standard input carries the run's signals, then `END` to ask for the clean-up, and closes with the run.
    Each signal is sent back to the run, which may have missed it. A run that survives a signal by `LIMIT`
    is killed.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    limit = None
    while True:
        left = None if limit is None else max(0.0, limit - time.monotonic())
        if not select.select([0], [], [], left)[0]:
            os.kill(parent, signal.SIGKILL)
            break
        read = os.read(0, 1)
        if read in (b"", END):
            break
        if limit is None and read[0] in SIGNALS:
            limit = time.monotonic() + LIMIT
            os.write(1, read)
            end_marked(run)
    end_marked(run)
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
