"""Replay buffer, width converter and arg-max."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import dataflow
from hw.kernels import specs
from hw.kernels.movement import ArgMax, ReplayBuffer, WidthConverter
from hw.kernels.specs.base import Stream, ValueType
from tests.hw.kernels.streaming import stream_through

gaps = st.sampled_from([0.0, 0.3, 0.8])
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 20), gaps, gaps, seeds)
def test_replay_repeats_each_frame(frame, repeats, depth, i_gaps, o_gaps, seed):
    words = np.random.default_rng(seed).integers(0, 2**5, (frame * 5, 2))
    kernel = ReplayBuffer(specs.Buffer(Stream(ValueType(5), 2), depth, frame, repeats))
    run = stream_through(kernel, words, len(words) * repeats, seed=seed, i_gaps=i_gaps, o_gaps=o_gaps)
    expected = np.repeat(words.reshape(5, 1, frame, 2), repeats, axis=1).reshape(-1, 2)
    np.testing.assert_array_equal(run.words, expected)


def test_fifo_moves_a_word_every_cycle():
    kernel = ReplayBuffer(specs.Buffer(Stream(ValueType(8), 1), depth=4))
    run = stream_through(kernel, np.arange(30).reshape(-1, 1), 30)
    assert set(np.diff(run.cycles)) == {1}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), gaps, gaps, seeds)
def test_width_converter_keeps_the_order(i_lanes, o_lanes, i_gaps, o_gaps, seed):
    elements = np.random.default_rng(seed).integers(0, 2**3, i_lanes * o_lanes * 4)
    kernel = WidthConverter(specs.WidthConverter(ValueType(3), i_lanes, o_lanes))
    run = stream_through(
        kernel, elements.reshape(-1, i_lanes), len(elements) // o_lanes, i_gaps=i_gaps, o_gaps=o_gaps
    )
    np.testing.assert_array_equal(run.words.reshape(-1), elements)


@pytest.mark.parametrize(("i_lanes", "o_lanes"), [(1, 4), (4, 1)])
def test_width_converter_never_idles_on_its_narrow_side(i_lanes, o_lanes):
    words = np.arange(32).reshape(-1, i_lanes)
    kernel = WidthConverter(specs.WidthConverter(ValueType(8), i_lanes, o_lanes))
    run = stream_through(kernel, words, 32 // o_lanes)
    assert set(np.diff(run.cycles)) == {4 if o_lanes == 4 else 1}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), gaps, gaps, seeds, st.booleans())
def test_argmax_gives_the_first_greatest(pe, folds, i_gaps, o_gaps, seed, is_signed):
    low = -8 if is_signed else 0
    x = np.random.default_rng(seed).integers(low, low + 16, (6, pe * folds))
    kernel = ArgMax(specs.ArgMax(dataflow.ArgMax("argmax", pe * folds, pe), ValueType(4, is_signed)))
    run = stream_through(kernel, x.reshape(-1, pe), 6, i_gaps=i_gaps, o_gaps=o_gaps)
    np.testing.assert_array_equal(run.words[:, 0], x.argmax(axis=1))
