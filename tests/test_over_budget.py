"""A student that no board of the build's kind can hold is refused before anything is trained."""

import pytest

from tests.conftest import TINY, retort

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("outputs", "first"), [(4096, ""), (512, "teacher: running")])
def test_no_teacher_for_a_student_that_does_not_fit(tmp_path, outputs, first):
    """One whose weights no memory of the chip holds, before any stage; another as soon as it is sized."""
    file = tmp_path / "wide.toml"
    layers = "    {{ outputs = 16, weight_bits = 3, activation_bits = 2 }},\n"
    assert layers in TINY
    wide = f"    {{{{ outputs = {outputs}, weight_bits = 8, activation_bits = 8 }}}},\n"
    file.write_text(TINY.replace(layers, wide).format(name="wide"))
    done = retort("build", file, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert done.returncode == 10, done.stderr
    assert first in done.stderr and "distill" not in done.stderr
    assert first or "running" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "icebreaker" in error and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("teacher.safetensors"))
