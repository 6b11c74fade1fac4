import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.dataflow import MatrixVector
from hw.kernels import specs
from hw.kernels.unfolded import Unfolded
from tests.hw.kernels.streaming import stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])


@st.composite
def layers(draw):
    outputs, inputs = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    bits, x_bits = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = max(1, 2 ** (bits - 1) - 1)
    weights = rng.integers(-top, top + 1, (outputs, inputs))
    x = rng.integers(0, 2**x_bits, (5, inputs))
    x[0] = 2**x_bits - 1  # the widest sums
    bias = rng.integers(-1000, 1000, outputs) if draw(st.booleans()) else None
    return MatrixVector("matrix", weights, x_bits, outputs, inputs, bias=bias), x


@settings(max_examples=60, deadline=None)
@given(layers(), gaps, gaps, st.booleans(), st.integers(1, 3))
def test_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, exact, adders):
    layer, x = layer
    spec = specs.Unfolded(layer, exact, adders)
    run = stream_through(Unfolded(spec), x, len(x), i_gaps=i_gaps, o_gaps=o_gaps)
    expected = layer.execute(x) - (0 if exact else spec.offsets)
    np.testing.assert_array_equal(run.words, expected)


def test_a_vector_a_cycle():
    rng = np.random.default_rng(3)
    kernel = Unfolded(specs.Unfolded(MatrixVector("matrix", rng.integers(-7, 8, (4, 8)), 4, 4, 8)))
    run = stream_through(kernel, rng.integers(0, 16, (20, 8)), 20)
    assert set(np.diff(run.cycles)) == {1}
