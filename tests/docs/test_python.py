"""The code of `docs/python.md` runs, on a build of seconds of training."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Built

PAGE = ROOT / "docs" / "python.md"


@pytest.mark.slow
def test_the_page_runs(tiny: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(tiny.file, tmp_path / "digits.toml")
    (tmp_path / "out").symlink_to(tiny.folder.parent)
    (tmp_path / ".retort").symlink_to(tiny.store)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) == 4
    code = "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"\d+ LUTs, a frame every 128 cycles", lines[0])
    assert any(line.startswith("accuracy 0.") for line in lines)
    assert "board passed 0 mismatches in 16 samples against golden" in lines
    assert any(re.match(r"2 .*missing\.toml", line) for line in lines)


def test_import_is_light() -> None:
    code = "import sys, retort; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "onnx", "amaranth", "finn", "matplotlib"} & set(done.stdout.split())
