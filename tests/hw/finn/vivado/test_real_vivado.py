"""The same with the real Vivado: `pytest -m vivado`, on a machine that has it, and an hour."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hw.boards.boards import find
from hw.dataflow.fold import Fold
from hw.finn.reader import read
from hw.finn.rtl import GRAPH, generate
from hw.finn.vivado.machines import Local, build
from hw.finn.vivado.plan import Target, make_plan
from tests.hw.networks import lowered, random_frames, random_network

PYNQ = find("pynq-z2")
pytestmark = [
    pytest.mark.vivado,
    pytest.mark.skipif(shutil.which("vivado") is None, reason="vivado is not on the PATH"),
    pytest.mark.timeout(4 * 3600),
]


@pytest.mark.parametrize("target", ["out-of-context", "bitfile"])
def test_network(target: Target, tmp_path: Path) -> None:
    model = lowered(random_network([16, 8, 4]), tmp_path, [Fold(2, 4), Fold(1, 2)])
    frames = random_frames(2, 16)
    expected = read(model).execute(frames.astype(np.int64))
    generate(model, part=PYNQ.device, clock_hz=PYNQ.clock_hz, folder=tmp_path, log=tmp_path / "finn.log")
    graph = (tmp_path / GRAPH).read_bytes()
    plan = make_plan(graph, PYNQ, target=target, frames=frames, expected=expected)
    found = build(plan, Local(), work=tmp_path / "job", log=tmp_path / "build.log", hours=3.5)
    assert found.verified == 2
    assert found.utilization is not None
    assert found.utilization.timing_met
    assert 0 < found.utilization.resources["LUT"].used < 10_000
    assert found.utilization.power.total_w > 0
