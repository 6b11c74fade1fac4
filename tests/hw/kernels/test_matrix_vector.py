from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.specs.products import PRODUCTS
from tests.hw.kernels.streaming import stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])
multiply = st.sampled_from(sorted(PRODUCTS))


@st.composite
def layers(draw):
    simd, pe = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    inputs, outputs = simd * draw(st.integers(1, 4)), pe * draw(st.integers(1, 4))
    bits, x_bits = draw(st.integers(2, 8)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = 2 ** (bits - 1) - 1
    weights = rng.integers(-top, top + 1, (outputs, inputs))
    x = rng.integers(0, 2**x_bits, (4, inputs))
    x[0] = 2**x_bits - 1  # the widest sums
    bias = rng.integers(-1000, 1000, outputs) if draw(st.booleans()) else None
    return dataflow.MatrixVector("matrix", weights, x_bits, pe, simd, bias=bias), x


@settings(max_examples=40, deadline=None)
@given(layers(), gaps, gaps, st.sampled_from(["exact", "short", "held"]), st.booleans(), multiply)
def test_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, output, replay, multiply):
    layer, x = layer
    layer, exact = replace(layer, multiply=multiply), output == "exact"
    spec = specs.MatrixVector(layer, exact, replay, held=output == "held")
    words = x if replay else np.repeat(x, layer.neuron_folds, axis=0)
    run = stream_through(
        MatrixVector(spec),
        words.reshape(-1, layer.simd),
        len(x) * layer.neuron_folds,
        i_gaps=i_gaps,
        o_gaps=o_gaps,
    )
    expected = layer.execute(x) - (0 if exact else spec.offsets)
    np.testing.assert_array_equal(run.words.reshape(x.shape[0], -1), expected)


@pytest.mark.parametrize(("pe", "simd"), [(1, 1), (2, 4), (4, 8), (8, 8), (1, 8)])
@pytest.mark.parametrize("multiply", sorted(PRODUCTS))
def test_interval_is_the_bound(pe, simd, multiply):
    rng = np.random.default_rng(1)
    weights, x = rng.integers(-7, 8, (8, 8)), rng.integers(0, 16, (5, 8))
    layer = dataflow.MatrixVector("matrix", weights, 4, pe, simd, multiply=multiply)
    run = stream_through(
        MatrixVector(specs.MatrixVector(layer, buffered=8 // simd)), x.reshape(-1, simd), 5 * 8 // pe
    )
    assert run.interval(8 // pe) == 64 // (pe * simd)
