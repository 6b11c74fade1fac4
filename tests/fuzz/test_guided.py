"""The same targets, searched with coverage as a guide, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import ROOT, TARGETS

RUNS = 20_000


@pytest.mark.nightly
@pytest.mark.parametrize("name", TARGETS)
def test_guided(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    argv = [sys.executable, "-m", "tests.fuzz.guided", name, str(RUNS), str(tmp_path / "found")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
