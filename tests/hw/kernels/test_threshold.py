import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.specs.base import ValueType
from hw.kernels.threshold import Threshold
from tests.hw.kernels.streaming import stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])


def count(thresholds: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (x[..., None] >= thresholds).sum(-1)


def kernel_of(
    thresholds: np.ndarray, kind: ValueType, pe: int, sequential: bool = False, held: bool = False
) -> Threshold:
    return Threshold(specs.Threshold(dataflow.Threshold("t", thresholds, pe), kind, sequential, held))


@st.composite
def layers(draw):
    pe, bits, width = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(2, 9))
    channels = pe * draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = ValueType(width, draw(st.booleans()))
    low, high = (-(1 << (width - 1)), 1 << (width - 1)) if kind.signed else (0, 1 << width)
    # up to one beyond the range: a threshold that is never reached
    thresholds = np.sort(rng.integers(low, high + 1, (channels, 2**bits - 1)), axis=1)
    return thresholds, rng.integers(low, high, (6, channels)), kind, pe


@settings(max_examples=40, deadline=None)
@given(layers(), gaps, gaps, st.booleans(), st.booleans())
def test_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, sequential, held):
    thresholds, x, kind, pe = layer
    kernel = kernel_of(thresholds, kind, pe, sequential, held)
    run = stream_through(kernel, x.reshape(-1, pe), x.size // pe, i_gaps=i_gaps, o_gaps=o_gaps)
    np.testing.assert_array_equal(run.words.reshape(x.shape), count(thresholds, x))


@st.composite
def progressions(draw):
    bits, step, channels = draw(st.integers(1, 4)), draw(st.integers(0, 4)), draw(st.integers(1, 3))
    first = np.array(draw(st.lists(st.integers(-70, 70), min_size=channels, max_size=channels)))
    return first[:, None] + (np.arange(2**bits - 1) << step), ValueType(7, draw(st.booleans()))


@settings(max_examples=25, deadline=None)
@given(progressions(), gaps, gaps)
def test_thresholds_a_power_of_two_apart(progression, i_gaps, o_gaps):
    thresholds, kind = progression
    channels = len(thresholds)
    kernel = kernel_of(thresholds, kind, channels)
    low = -64 if kind.signed else 0
    x = np.arange(low, low + 128, 3)[:, None].repeat(channels, axis=1)
    run = stream_through(kernel, x, len(x), i_gaps=i_gaps, o_gaps=o_gaps)
    np.testing.assert_array_equal(run.words, count(thresholds, x))


@pytest.mark.parametrize(
    ("sequential", "held", "cycles"), [(True, False, 4), (True, True, 4), (False, False, 1)]
)
def test_cycles_a_word(sequential, held, cycles):
    rng = np.random.default_rng(2)
    thresholds = np.sort(rng.integers(-100, 100, (3, 15)), axis=1)
    kernel = kernel_of(thresholds, ValueType(8, signed=True), 1, sequential, held)
    run = stream_through(kernel, rng.integers(-128, 128, (12, 1)), 12)
    assert set(np.diff(run.cycles)) == {cycles}
