"""Weights in single-port RAM, loaded after reset: the same products as with weights in ROM."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.specs.products import RamShape
from tests.hw.kernels.streaming import stream_through
from tests.hw.kernels.test_matrix_vector import gaps, layers


async def load(ctx, kernel, contents):
    """Each column word by word, in an order of its own."""
    rng = np.random.default_rng(0)
    for column, words in enumerate(contents):
        ctx.set(kernel.load.column, 1 << column)
        for address in rng.permutation(len(words)).tolist():
            ctx.set(kernel.load.address, address)
            ctx.set(kernel.load.data, int(words[address]))
            await ctx.tick()
    ctx.set(kernel.load.column, 0)


def run(kernel, x, simd, o_words, **options):
    loaded = partial(load, kernel=kernel, contents=kernel.spec.loaded.contents)
    return stream_through(kernel, x.reshape(-1, simd), o_words, before=loaded, **options)


@settings(max_examples=40, deadline=None)
@given(layers(), gaps, gaps, st.sampled_from(["exact", "short", "held"]), st.booleans())
def test_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, output, replay):
    layer, x = layer
    assume(layer.folded > 1)
    layer, exact, folds = replace(layer, memory="single-port"), output == "exact", layer.neuron_folds
    spec = specs.MatrixVector(layer, exact, replay, held=output == "held")
    words = x if replay else np.repeat(x, folds, axis=0)
    found = run(MatrixVector(spec), words, layer.simd, len(x) * folds, i_gaps=i_gaps, o_gaps=o_gaps)
    expected = layer.execute(x) - (0 if exact else spec.offsets)
    np.testing.assert_array_equal(found.words.reshape(x.shape[0], -1), expected)


@pytest.mark.parametrize(("pe", "simd"), [(1, 1), (2, 4), (4, 8), (1, 8)])
def test_interval_is_the_bound(pe, simd):
    rng = np.random.default_rng(1)
    weights, x = rng.integers(-7, 8, (8, 8)), rng.integers(0, 16, (5, 8))
    layer = dataflow.MatrixVector("matrix", weights, 4, pe, simd, memory="single-port")
    spec = specs.MatrixVector(layer, replay=pe < 8, buffered=8 // simd)
    assert run(MatrixVector(spec), x, simd, 5 * 8 // pe).interval(8 // pe) == 64 // (pe * simd)


def test_shape_and_contents():
    shape = RamShape(3, 20)
    assert (shape.columns, shape.rams) == (2, 2)
    assert RamShape(16385, 17).rams == 4
    assert RamShape(16384, 16).rams == 1
    words = [0xABCDE, 0, 0x10001]
    assert shape.contents(words).tolist() == [[0xBCDE, 0, 1], [0xA, 0, 1]]
