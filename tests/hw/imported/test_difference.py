"""Outputs of a network against the integers of its reference: by value, by class, by sign."""

import numpy as np
import pytest

from hw.imported.difference import between
from hw.interface import Affine

OUTPUT = Affine(0.25, -3.0)
RNG = np.random.default_rng(0)


def integers(*shape: int) -> np.ndarray:
    return RNG.integers(-40, 40, shape)


def values(counts: np.ndarray) -> np.ndarray:
    return counts * OUTPUT.scale + OUTPUT.offset


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


ENDS = {
    "": lambda x: x,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Softmax": softmax,
    "LogSoftmax": lambda x: np.log(softmax(x)),
}


@pytest.mark.parametrize(("end", "count"), [*((end, 5) for end in ENDS), ("", 1), ("Sigmoid", 1)])
def test_the_same_but_for_float32(end: str, count: int) -> None:
    counts = integers(200, count)
    outputs = ENDS[end](values(counts)).astype(np.float32)
    found = between(outputs, counts, OUTPUT, end)
    assert (found.frames, found.agreement, found.apart) == (200, 1.0, 0.0)
    assert found.largest_error <= (0.1 if end == "Sigmoid" else 1e-4) * OUTPUT.scale
    assert (found.scale, found.offset) == (0.25, -3.0)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("steps", [0.9, 1.1, 3.0])
def test_steps_apart(end: str, steps: float) -> None:
    """A single output of a single frame counts, and nothing up to a step does."""
    counts = RNG.integers(0, 20, (50, 4))
    moved = values(counts)
    moved[7, 2] += steps * OUTPUT.scale
    if "Softmax" in end:  # which does not tell a step of one class from half a step of all others
        moved[7, 3] -= steps * OUTPUT.scale
    found = between(ENDS[end](moved), counts, OUTPUT, end)
    assert found.apart == (0.02 if steps > 1 else 0.0)
    assert found.largest_error == pytest.approx(steps * OUTPUT.scale, rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("wrong", [lambda x: -x, lambda x: 2 * x, lambda x: x + 1, np.zeros_like])
def test_what_a_fit_would_hide(count: int, wrong) -> None:
    """Inverted, scaled, moved and dead outputs, whose classes may be the same."""
    counts = np.random.default_rng(count).integers(-60, 60, (100, count))
    found = between(wrong(values(counts)), counts, OUTPUT)
    assert found.apart > 0.9 and found.largest_error > OUTPUT.scale


def test_one_output_agrees_by_its_sign() -> None:
    counts = np.array([[-20], [11], [12], [13], [40]])  # -8, -0.25, 0, 0.25, 7
    assert between(values(counts), counts, OUTPUT).agreement == 1
    inverted = between(-values(counts), counts, OUTPUT)
    assert (inverted.agreement, inverted.tied_frames) == (0.0, 1)
    assert between(values(counts) + 0.5, counts, OUTPUT).agreement == pytest.approx(3 / 4)


def test_frames_that_tie_are_told_apart() -> None:
    counts = np.array([[5, 5, 0], [5, 5, 0], [5, 5, 0], [1, 2, 3]])
    outputs = values(counts)
    outputs[0, 1] += 0.01  # one of the tied
    outputs[1, 2] += 9.0  # none of them
    found = between(outputs, counts, OUTPUT)
    assert found.tied_frames == 3
    assert found.agreement == 0.5  # of the last frame, and of the one that was given a third class
    assert between(outputs[:1], counts[:1], OUTPUT).agreement is None


def test_a_tie_of_the_network_excuses_nothing() -> None:
    assert between(np.zeros((1, 3)), np.array([[3, 4, 0]]), Affine()).agreement == 0


def test_no_number_is_apart() -> None:
    counts = integers(10, 3)
    outputs = values(counts)
    outputs[4] = np.nan
    found = between(outputs, counts, OUTPUT)
    assert found.apart == pytest.approx(0.1)


@pytest.mark.parametrize("end", ["Sigmoid", "Softmax"])
def test_saturated_outputs_are_compared_as_far_as_they_tell(end: str) -> None:
    counts = np.array([[4000, -4000], [3, -4000]])
    outputs = ENDS[end](values(counts).clip(-700, 700)).astype(np.float32)
    assert between(outputs, counts, OUTPUT, end).apart == 0
    assert between(1 - outputs, counts, OUTPUT, end).apart == 1
