"""The line buffer's depth against a model of its timing, word by word."""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw.dataflow import Window
from hw.dataflow.line_buffer import LineBuffer
from tests.hw.kernels.windows import windows

FRAMES = 7


def interval(window: Window, depth: int) -> float:
    """Cycles a frame at full rate on both sides, of a buffer that holds `depth` words; inf where it halts.

    A word can be read the cycle after it came; its place is free the cycle after the window's last tap.
    """
    buffer = LineBuffer(window)
    (after, after_row, after_frame), _ = buffer.releases
    words, columns = buffer.frame, window.o_shape[1]
    places = np.arange(words).repeat(window.lanes)[None]
    needs = _padded_with(window, -1).execute(places).reshape(window.vectors, -1, window.lanes)[:, :, 0]
    if window.rows > 1:
        taken = _padded_with(window, -1).execute(places)[0].reshape(window.vectors, -1)[:, window.order]
        needs = taken.reshape(window.vectors, -1, window.o_lanes).max(axis=2)
    needs = np.tile(needs, (1, window.repeats))
    came: list[int] = []
    now, bound, ends = 0, buffer.start + depth, []
    freed_at = [(bound, 0)]  # places below the bound are free from that cycle
    for frame in range(FRAMES):
        for vector, taps in enumerate(needs):
            for need in taps:
                place = frame * words + need if need >= 0 else -1
                while len(came) <= place:
                    number = len(came)
                    free = next((cycle for limit, cycle in freed_at if number < limit), None)
                    if free is None:
                        return float("inf")
                    came.append(max(free, came[-1] + 1 if came else 0))
                now = max(now + 1, came[place] + 1 if place >= 0 else 0)
            last_column = (vector + 1) % columns == 0
            step = after_frame if vector + 1 == len(needs) else after_row if last_column else after
            bound += step
            freed_at = [entry for entry in freed_at if entry[0] > len(came)] + [(bound, now + 1)]
        ends.append(now)
    return (ends[-1] - ends[2]) / (FRAMES - 3)


def _padded_with(window: Window, value: int) -> Window:
    return replace(window, pad_value=value)


@settings(max_examples=150, deadline=None)
@given(windows())
def test_depth_holds_the_interval(window):
    assume(window.cycles < 1500)
    measured = interval(window, LineBuffer(window).depth)
    top, left, bottom, right = window.padding
    if max(top, bottom) < window.kernel[0] and max(left, right) < window.kernel[1]:
        assert measured == window.cycles
    else:  # windows in the padding alone wait for no word
        assert measured <= window.cycles


@settings(deadline=None)
@given(windows(), st.integers(0, 300))
def test_banks_hold_what_is_asked(window, more):
    buffer = LineBuffer(window)
    banks = buffer.banks_for(buffer.depth + more)
    assert buffer.capacity(banks) >= buffer.depth + more
    assert buffer.capacity([words // 2 for words in banks]) < buffer.depth + more or min(banks) == 2


@settings(max_examples=150, deadline=None)
@given(windows(padded=False))
def test_depth_is_the_least(window):
    assume(window.cycles < 1500)
    assert interval(window, LineBuffer(window).depth - 1) > window.cycles
