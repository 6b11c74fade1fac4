"""Max pool, reduce, global sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.pooling import GlobalSum, MaxPool, Reduce
from hw.kernels.specs.base import ValueType
from tests.hw.kernels.streaming import Run, stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])
seeds = st.integers(0, 2**32 - 1)


def run_frames(layer, kernel, bits: int, frames: int, seed: int = 0, **options: float) -> Run:
    """The words of random frames, which have to be `execute`'s."""
    x = np.random.default_rng(seed).integers(0, 2**bits, (frames, layer.i_elements))
    x[0] = 2**bits - 1
    expected = layer.execute(x).reshape(-1, layer.o_lanes)
    run = stream_through(kernel, x.reshape(-1, layer.i_lanes), len(expected), seed=seed, **options)
    np.testing.assert_array_equal(run.words, expected)
    return run


@st.composite
def max_pools(draw):
    size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    height, width = (draw(st.integers(each, 3 * each + 2)) for each in size)
    lanes = draw(st.integers(1, 2))
    channels = lanes * draw(st.integers(1, 3))
    return dataflow.MaxPool("pool", (height, width, channels), size, lanes)


def max_pool(layer: dataflow.MaxPool, bits: int) -> MaxPool:
    return MaxPool(specs.MaxPool(layer, ValueType(bits)))


@settings(max_examples=40, deadline=None)
@given(max_pools(), gaps, gaps, st.integers(1, 8), seeds)
def test_max_pool_equals_numpy_under_any_back_pressure(layer, i_gaps, o_gaps, bits, seed):
    run_frames(layer, max_pool(layer, bits), bits, 3, seed, i_gaps=i_gaps, o_gaps=o_gaps)


@settings(max_examples=20, deadline=None)
@given(max_pools())
def test_max_pool_takes_a_word_a_cycle(layer):
    run = run_frames(layer, max_pool(layer, 4), 4, 3)
    assert run.interval(len(run.words) // 3) == layer.cycles


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), gaps, gaps, st.integers(1, 8), seeds)
def test_reduce_equals_numpy_under_any_back_pressure(lanes, groups, taps, i_gaps, o_gaps, bits, seed):
    layer = dataflow.Reduce("reduce", lanes * groups, taps, 3, lanes)
    kernel = Reduce(specs.Reduce(layer, ValueType(bits)))
    run_frames(layer, kernel, bits, 3, seed, i_gaps=i_gaps, o_gaps=o_gaps)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), gaps, gaps, st.integers(1, 8), seeds)
def test_global_sum_equals_numpy_under_any_back_pressure(lanes, groups, pixels, i_gaps, o_gaps, bits, seed):
    layer = dataflow.GlobalSum("sum", pixels, lanes * groups, bits, lanes)
    kernel = GlobalSum(specs.GlobalSum(layer, ValueType(bits)))
    run_frames(layer, kernel, bits, 3, seed, i_gaps=i_gaps, o_gaps=o_gaps)


@pytest.mark.parametrize("groups", [1, 3])
def test_reduce_and_global_sum_take_a_word_a_cycle(groups):
    layer = dataflow.Reduce("reduce", 2 * groups, 9, 4, 2)
    kernel = Reduce(specs.Reduce(layer, ValueType(4)))
    assert run_frames(layer, kernel, 4, 3).interval(4 * groups) == layer.cycles
    layer = dataflow.GlobalSum("sum", 16, 2 * groups, 4, 2)
    kernel = GlobalSum(specs.GlobalSum(layer, ValueType(4)))
    assert run_frames(layer, kernel, 4, 3).interval(groups) == layer.cycles
