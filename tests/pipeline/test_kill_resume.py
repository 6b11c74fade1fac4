import pytest

from tests.bench.kill_resume import torture


@pytest.mark.slow
def test_killed_builds_end_as_undisturbed_ones(tiny_file, tmp_path):
    torture(tiny_file, tmp_path, kills=4, seed=1, longest=15.0)
