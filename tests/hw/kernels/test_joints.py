"""Add and fork."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.movement import Add, Fork
from hw.kernels.specs.base import ValueType
from tests.hw.kernels.streaming import stream_all

gaps = st.sampled_from([0.0, 0.3, 0.8])
seeds = st.integers(0, 2**32 - 1)
bits = st.integers(1, 8)


def add(x_bits: int, y_bits: int, lanes: int) -> Add:
    return Add(specs.Add(dataflow.Add("add", lanes, lanes), ValueType(x_bits), ValueType(y_bits)))


def fork(lanes: int) -> Fork:
    return Fork(specs.Fork(dataflow.Fork("fork", lanes, lanes), ValueType(5)))


@settings(max_examples=30, deadline=None)
@given(bits, bits, st.integers(1, 3), gaps, gaps, seeds)
def test_add_equals_numpy_under_any_back_pressure(x_bits, y_bits, lanes, i_gaps, o_gaps, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 2**width, (30, lanes)) for width in (x_bits, y_bits))
    x[0], y[0] = 2**x_bits - 1, 2**y_bits - 1
    kernel = add(x_bits, y_bits, lanes)
    words = dict(zip(kernel.inlets, (x, y), strict=True))
    (run,) = stream_all(kernel, words, {kernel.o: 30}, seed=seed, i_gaps=i_gaps, o_gaps=o_gaps)
    np.testing.assert_array_equal(run.words, x + y)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), gaps, gaps, seeds)
def test_fork_gives_every_word_to_both(lanes, i_gaps, o_gaps, seed):
    words = np.random.default_rng(seed).integers(0, 2**5, (30, lanes))
    kernel = fork(lanes)
    expected = dict.fromkeys(kernel.outlets, 30)
    for run in stream_all(kernel, {kernel.i: words}, expected, seed=seed, i_gaps=i_gaps, o_gaps=o_gaps):
        np.testing.assert_array_equal(run.words, words)


def test_add_and_fork_move_a_word_a_cycle():
    words = np.arange(30).reshape(-1, 1)
    adder, forked = add(5, 5, 1), fork(1)
    runs = stream_all(adder, dict.fromkeys(adder.inlets, words), {adder.o: 30})
    runs += stream_all(forked, {forked.i: words}, dict.fromkeys(forked.outlets, 30))
    for run in runs:
        assert set(np.diff(run.cycles)) == {1}
