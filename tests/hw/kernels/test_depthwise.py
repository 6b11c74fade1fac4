import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.depthwise import Depthwise
from tests.hw.kernels.streaming import Run, stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])


def run_frames(layer: dataflow.Depthwise, *, exact: bool = True, seed: int = 0, **options: float) -> Run:
    """The words of random frames, which have to be `execute`'s."""
    x = np.random.default_rng(seed).integers(0, 2**layer.x_bits, (3, layer.i_elements))
    x[0] = 2**layer.x_bits - 1  # the widest sums
    spec = specs.Depthwise(layer, exact)
    given = layer.execute(x).reshape(-1, layer.channels) - (0 if exact else spec.offsets)
    expected = given.reshape(-1, layer.pe)
    run = stream_through(Depthwise(spec), x.reshape(-1, layer.i_lanes), len(expected), seed=seed, **options)
    np.testing.assert_array_equal(run.words, expected)
    return run


@st.composite
def layers(draw):
    pe, simd = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    channels, taps = pe * draw(st.integers(1, 3)), simd * draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = 2 ** (draw(st.integers(2, 8)) - 1) - 1
    kind = draw(st.sampled_from(["any", "binary", "ones"]))
    weights = {
        "any": rng.integers(-top, top + 1, (channels, taps)),
        "binary": rng.choice([-1, 1], (channels, taps)),
        "ones": np.ones((channels, taps), int),
    }[kind]
    bias = rng.integers(-1000, 1000, channels) if draw(st.booleans()) else None
    x_bits, vectors = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    return dataflow.Depthwise("depthwise", weights, x_bits, pe, simd, vectors, bias)


@settings(max_examples=50, deadline=None)
@given(layers(), gaps, gaps, st.booleans(), st.integers(0, 2**32 - 1))
def test_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, exact, seed):
    run_frames(layer, exact=exact, seed=seed, i_gaps=i_gaps, o_gaps=o_gaps)


@pytest.mark.parametrize(("pe", "simd"), [(1, 1), (2, 3), (4, 9)])
def test_takes_a_word_a_cycle(pe, simd):
    weights = np.random.default_rng(1).integers(-7, 8, (4, 9))
    layer = dataflow.Depthwise("depthwise", weights, 4, pe, simd, vectors=5)
    assert run_frames(layer).interval(layer.o_elements // pe) == layer.cycles
