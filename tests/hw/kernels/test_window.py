import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw.dataflow import Window
from hw.dataflow.line_buffer import LineBuffer
from hw.kernels import specs
from hw.kernels.specs.base import ValueType
from hw.kernels.window import SlidingWindow
from tests.hw.kernels.streaming import Run, stream_through
from tests.hw.kernels.windows import windows

gaps = st.sampled_from([0.0, 0.3, 0.8])
seeds = st.integers(0, 2**32 - 1)


def kernel_of(window: Window, bits: int, buffered: int = 0) -> SlidingWindow:
    return SlidingWindow(specs.Window(window, ValueType(bits), buffered))


def expected_words(window: Window, x: np.ndarray) -> np.ndarray:
    """`execute`'s windows in the hardware's order, each as often as it is given."""
    vectors = window.execute(x).reshape(len(x), window.vectors, 1, -1)
    ordered = vectors if window.depthwise else vectors[..., window.order]
    return np.repeat(ordered, window.repeats, axis=2).reshape(-1, window.o_lanes)


def run_frames(window: Window, frames: int, *, bits: int = 4, seed: int = 0, **options: float) -> Run:
    """The words of random frames, which have to be right."""
    x = np.random.default_rng(seed).integers(0, 2**bits, (frames, window.i_elements))
    expected = expected_words(window, x)
    words = x.reshape(-1, window.lanes)
    run = stream_through(kernel_of(window, bits), words, len(expected), seed=seed, **options)
    np.testing.assert_array_equal(run.words, expected)
    return run


@settings(max_examples=60, deadline=None)
@given(windows(), gaps, gaps, st.integers(2, 8), seeds)
def test_equals_numpy_under_any_back_pressure(window, i_gaps, o_gaps, bits, seed):
    assume(window.cycles < 400)
    run_frames(window, 3, bits=bits, seed=seed, i_gaps=i_gaps, o_gaps=o_gaps)


@settings(max_examples=40, deadline=None)
@given(windows(largest=5))
def test_interval_is_the_bound(window):
    (top, left, bottom, right), (high, wide) = window.padding, window.kernel
    assume(window.cycles < 300 and max(top, bottom) < high and max(left, right) < wide)
    frames = 5
    run = run_frames(window, frames)
    assert run.interval(len(run.words) // frames) == window.cycles


@pytest.mark.parametrize(
    "window",
    [
        Window("picture", (8, 8, 1), (3, 3), 1, padding=(1, 1, 1, 1)),
        Window("picture, no padding", (8, 8, 1), (3, 3), 1, repeats=2),
        Window("channels", (6, 6, 8), (3, 3), 4, padding=(1, 1, 1, 1), rows=3),
        Window("stride", (9, 9, 4), (3, 3), 2, (2, 2), (0, 0, 1, 1), rows=3),
        Window("pool", (8, 8, 4), (2, 2), 2, (2, 2), depthwise=True),
        Window("holes", (11, 10, 2), (1, 1), 2, (3, 3)),
        Window("series", (20, 1, 6), (9, 1), 2, padding=(4, 0, 4, 0)),
        Window("one row", (1, 40, 3), (1, 5), 3, padding=(0, 2, 0, 2)),
        Window("wide padding", (5, 5, 2), (3, 3), 1, padding=(2, 2, 2, 2)),
    ],
    ids=lambda window: window.name,
)
def test_interval_over_frames(window):
    run = run_frames(window, 6)
    ends = run.cycles[len(run.words) // 6 - 1 :: len(run.words) // 6]
    assert set(np.diff(ends)[1:]) == {window.cycles}


def test_rows_are_kept_in_smaller_rams_the_sooner_they_are_read():
    window = Window("window", (28, 28, 1), (3, 3), 1, padding=(1, 1, 1, 1), rows=3)
    assert LineBuffer(window).depth == 2 * 28 + 3
    assert LineBuffer(window).banks == (64, 32, 4)


def test_buffered_words_are_held_beside_the_least():
    window = Window("window", (6, 6, 1), (3, 3), 1)
    kernel = kernel_of(window, 4, buffered=200)
    assert kernel.spec.depth >= LineBuffer(window).depth + 200
    taken = stream_through(kernel, np.ones((36, 1), int), 16 * 9)
    assert (taken.words == 1).all()
