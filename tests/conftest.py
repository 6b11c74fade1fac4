"""Builds that several test files look at, made once a run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent

TINY = """
name = "{name}"
seed = 3
[data]
source = "digits"
test_fraction = 0.2
validation_fraction = 0.2
[teacher]
members = 2
hidden = [24]
epochs = 3
batch_size = 64
learning_rate = 1e-2
weight_decay = 1e-3
[student]
layers = [
    {{ outputs = 16, weight_bits = 3, activation_bits = 2 }},
    {{ outputs = 10, weight_bits = 4 }},
]
epochs = 6
batch_size = 64
learning_rate = 1e-2
weight_decay = 1e-4
[distill]
losses = [{{ method = "softened-softmax", temperature = 3.0, hard_label_weight = 0.2 }}]
temperatures = [2.0, 4.0]
sweep_epochs = 1
[compile]
target_cycles = 128
[board]
name = "icebreaker"
[training]
checkpoint_every = 1
"""


@dataclass(frozen=True)
class Built:
    """A finished build: its file, its folder, its store, and what the command printed."""

    file: Path
    folder: Path
    store: Path
    stdout: str

    def json(self, name: str):
        return json.loads((self.folder / name).read_text())

    def rung(self, name: str) -> dict:
        return next(row for row in self.json("verification.json") if row["rung"] == name)


def retort(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    argv = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd)


def build(file: Path, folder: Path, *options: object) -> Built:
    """Build `file` with store and output below `folder`."""
    store = folder / "store"
    done = retort("build", file, "--store", store, "--out", folder / "out", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    name = next(line for line in file.read_text().splitlines() if line.startswith("name")).split('"')[1]
    return Built(file, folder / "out" / name, store, done.stdout)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all of xdist's workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _once(shared: Path, file: Path, folder: str) -> Built:
    """Build in `folder` unless another worker has; what is there is taken from the store."""
    with FileLock(shared / f"{folder}.lock"):
        return build(file, shared / folder)


@pytest.fixture(scope="session")
def tiny_file(shared):
    """A build file for a network that takes seconds to train."""
    with FileLock(shared / "tiny.toml.lock"):
        path = shared / "tiny.toml"
        path.write_text(TINY.format(name="tiny"))
    return path


@pytest.fixture(scope="session")
def tiny(shared, tiny_file) -> Built:
    """A whole build of the tiny network for the iCEBreaker."""
    return _once(shared, tiny_file, "tiny")


@pytest.fixture(scope="session")
def icebreaker(shared) -> Built:
    """The shipped build for the iCEBreaker."""
    return _once(shared, ROOT / "builds" / "digits-icebreaker.toml", "shipped")


@pytest.fixture(scope="session")
def ulx3s(shared, icebreaker) -> Built:
    """The shipped build for the ULX3S; its networks are those of the iCEBreaker's build."""
    return _once(shared, ROOT / "builds" / "digits-ulx3s.toml", "shipped")


@pytest.fixture(scope="session")
def motions(shared) -> Built:
    """The shipped build of a one-dimensional convolutional student."""
    return _once(shared, ROOT / "builds" / "motions-icebreaker.toml", "motions")
