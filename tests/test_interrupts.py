"""Real builds, ended by signals in every kind of stage: quickly, cleanly, and to go on from there."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import Built

pytestmark = pytest.mark.slow

SECONDS = 3.0
LAST = "interrupted; the same command goes on from here"


@dataclass(frozen=True)
class Moment:
    """When a build is ended: in which stage, after which line, and while which program runs."""

    stage: str
    line: str
    program: str = ""


MOMENTS = {
    "training": Moment("teacher", "teacher, teacher 0: 0/"),
    "importing torch": Moment("teacher", "teacher: running"),
    "distillation": Moment("distill", "distill, student (student): 0/"),
    "FINN": Moment("compile", "compile: running"),
    "yosys": Moment("bitstream", "bitstream, synthesis: 0/", "pyosys"),
    "nextpnr": Moment("bitstream", "bitstream, place and route: 1/", "nextpnr"),
    "networks": Moment("verify", "verify: running"),
    "rungs, compiling": Moment("verify", "verify, rungs: 1/", "cc1plus"),
    "rungs, simulating": Moment("verify", "verify, rungs: 1/", "Vtop"),
}


@pytest.fixture
def store(tiny: Built, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.store, tmp_path / "store"))


def forget(store: Path, stage: str) -> None:
    for path in (store / "manifests").glob("*.json"):
        if json.loads(path.read_text())["stage"] == stage:
            path.unlink()


def argv(tiny: Built, store: Path, folder: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "build",
        tiny.file,
        "--store",
        store,
        "--out",
        folder / "out",
    ]
    return [*map(str, command)]


def started(tiny: Built, store: Path, folder: Path, moment: Moment) -> "subprocess.Popen[str]":
    """A build that has come to the moment; its temporary files are in `folder/tmp`."""
    forget(store, moment.stage)
    (folder / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        argv(tiny, store, folder),
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if moment.line in line:
            break
    while moment.program and not any(moment.program in each for each in programs(process.pid)):
        assert process.poll() is None, f"{moment.program} was not seen"
        time.sleep(0.01)
    return process


def programs(parent: int) -> Iterator[str]:
    for child in psutil.Process(parent).children(recursive=True):
        try:
            yield " ".join(child.cmdline())
        except psutil.Error:
            continue


def marked(folder: Path) -> list[int]:
    """Processes whose temporary folder is below `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                str(folder) in process.environ().get("TMPDIR", "")
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def ends(condition: Callable[[], bool]) -> None:
    while not condition():  # pytest's limit ends this
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("moment", "number"),
    zip(MOMENTS.values(), itertools.cycle([signal.SIGTERM, signal.SIGINT]), strict=False),
    ids=MOMENTS,
)
def test_signal_ends_a_build(
    moment: Moment, number: signal.Signals, tiny: Built, store: Path, tmp_path: Path
) -> None:
    process = started(tiny, store, tmp_path, moment)
    assert marked(tmp_path) and list((tmp_path / "tmp").iterdir())
    began = time.monotonic()
    process.send_signal(number)
    _, printed = process.communicate()
    seconds = time.monotonic() - began
    assert process.returncode == 128 + number
    lines = printed.splitlines()
    assert lines[-1] == LAST and lines.count(LAST) == 1 and "Traceback" not in printed
    assert seconds < SECONDS
    assert not marked(tmp_path) and not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("name", ["training", "nextpnr", "rungs, compiling"])
def test_killed_build_leaves_nothing_and_goes_on(name: str, tiny: Built, store: Path, tmp_path: Path) -> None:
    process = started(tiny, store, tmp_path, MOMENTS[name])
    process.kill()
    process.communicate()
    ends(lambda: not marked(tmp_path) and not list((tmp_path / "tmp").iterdir()))
    if name == "nextpnr":
        done = subprocess.run(argv(tiny, store, tmp_path), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        for file in ("netlist.json", "bitstream.bin"):
            assert (tmp_path / "out" / "tiny" / file).read_bytes() == (tiny.folder / file).read_bytes()
