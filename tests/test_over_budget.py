"""A student that no board of the build's kind can hold is refused before anything is trained."""

import pytest

from tests.conftest import TINY, retort

pytestmark = pytest.mark.slow


def test_no_teacher_for_a_student_that_does_not_fit(tmp_path):
    file = tmp_path / "wide.toml"
    layers = "    {{ outputs = 16, weight_bits = 3, activation_bits = 2 }},\n"
    assert layers in TINY
    wide = TINY.replace(layers, "    {{ outputs = 4096, weight_bits = 8, activation_bits = 8 }},\n")
    file.write_text(wide.format(name="wide"))
    done = retort("build", file, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert done.returncode == 10, done.stderr
    assert "teacher: running" in done.stderr and "distill" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "icebreaker" in error and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("teacher.safetensors"))
