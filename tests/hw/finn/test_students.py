"""Random students by way of FINN to cores: Verilator against the golden model in onnxruntime."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from common.topology import Topology
from hw.core import design
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.simulation.simulate import CoreSimulator
from models.export import golden_model, qonnx_model, save_model
from models.students.integer import IntegerNetwork
from tests.hw.networks import divisors, random_frames
from tests.models.networks import random_map, random_network, random_residuals, random_topology

FRAMES = 16
STALL_PERCENT = 40


def golden(network: IntegerNetwork, frames: np.ndarray) -> list[np.ndarray]:
    """Logits of `golden.onnx`, and labels where it has them."""
    model = golden_model(network).SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": frames})


def check(seed: int, work: Path, draw: Callable[[np.random.Generator], Topology] = random_topology) -> None:
    """One network, folded at random: values at full rate and stalled, and the interval."""
    rng = np.random.default_rng(seed)
    topology = draw(rng)
    network, label = random_network(seed, topology), bool(rng.random() < 0.5) and draw is not random_map
    shapes = tuple(step.matrix for step in topology.steps if step.matrix)
    folds = tuple(
        Fold(int(rng.choice(divisors(outs))), int(rng.choice(divisors(ins)))) for ins, outs in shapes
    )
    work.mkdir()
    save_model(qonnx_model(network), work / "student.qonnx.onnx")
    model = lower(
        work / "student.qonnx.onnx",
        folding=Folding(folds=folds),
        label=label,
        log=work / "finn.log",
    )
    graph = read(model)
    core = design(graph, work / "amaranth")
    (work / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        work / "core.v", core.interface, work=work / "simulator", log=work / "log", optimize="-O0"
    )
    frames = random_frames(FRAMES, network.inputs, seed)
    logits, *labels = golden(network, frames)
    expected = labels[0][:, None] if label else logits
    shaped = frames.reshape(FRAMES, *core.interface.input.shape)
    free = simulator.run(shaped)
    np.testing.assert_array_equal(free.outputs, expected)
    assert free.interval == graph.interval_bound
    stalled = simulator.run(shaped, stall_percent=STALL_PERCENT, seed=seed % 1000)
    np.testing.assert_array_equal(stalled.outputs, expected)
    shutil.rmtree(work)


COMMON = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # another seed is another network: nothing to shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.slow
@settings(COMMON, max_examples=8, derandomize=True)
@example(seed=134217729)  # a layer whose thresholds are never all reached
@example(seed=118503)  # paths that meet again, one of them by way of a converter that stands still
@example(seed=1674)  # a residual layer whose body and shortcut give the same values
@example(seed=4117)  # sums of an average pool that go to a dense layer as they are
@given(seed=st.integers(0, 2**32 - 1))
def test_random_students(tmp_path: Path, seed: int) -> None:
    check(seed, tmp_path / str(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_students_that_give_maps(tmp_path: Path, seed: int) -> None:
    check(seed, tmp_path / str(seed), random_map)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_random_students_of_strided_blocks(tmp_path: Path, seed: int) -> None:
    check(seed, tmp_path / str(seed), random_residuals)


@pytest.mark.slow
@pytest.mark.nightly
@settings(COMMON, max_examples=200)
@given(seed=st.integers(0, 2**32 - 1))
def test_many_random_students(tmp_path: Path, seed: int) -> None:
    check(seed, tmp_path / str(seed), random_residuals if seed % 3 == 0 else random_topology)
