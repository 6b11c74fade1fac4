import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import accuracy, agreement, best_offset, combine, divergence, softened


def test_accuracy_takes_the_first_of_equal_scores():
    scores = np.array([[1, 1, 0], [0, 2, 2], [5, 0, 5]])
    assert accuracy(scores, np.array([0, 1, 2])) == pytest.approx(2 / 3)
    assert agreement(scores, scores[:, [2, 1, 0]]) == pytest.approx(1 / 3)


def test_combine_averages_probabilities_not_logits():
    logits = np.array([[[4.0, 0.0]], [[-4.0, 0.0]]], dtype=np.float32)
    p = 1 / (1 + np.exp(-4.0))
    np.testing.assert_allclose(combine(logits), [[(p + 1 - p) / 2, 0.5]])
    np.testing.assert_allclose(combine(logits[:1], 2.0), softened(logits[0], 2.0))


def test_divergence():
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    assert divergence(p, p) == 0
    assert divergence(p, q) == pytest.approx((0.5 * np.log(2) + 0.5 * np.log(2 / 3)) / 2)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 12), st.booleans())
def test_no_offset_gives_more_right_answers_than_the_best(seed, classes, samples, whole):
    """Against trying offsets one by one; small integers have ties."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 4, (samples, classes)) * 1.0 if whole else rng.normal(0, 2, (samples, classes))
    labels, label = rng.integers(0, classes, samples), int(rng.integers(classes))

    def right(offset):
        moved = logits.copy()
        moved[:, label] += offset
        return accuracy(moved, labels)

    every = np.delete(logits, label, axis=1) - logits[:, [label]]
    ends = np.unique(np.concatenate([every.ravel(), [every.min() - 2, every.max() + 2]]))
    tried = [*((ends[1:] + ends[:-1]) / 2), 0.0]
    found = best_offset(logits, labels, label)
    strict = [right(offset) for offset in tried if not np.isin(offset, ends)]
    assert right(found) == max(strict)
    if 0.0 not in ends and right(0.0) == max(strict):
        assert found == 0.0


def test_best_offset_is_the_middle_of_the_best_range():
    logits = np.array([[2.0, 0.0], [3.0, 0.0], [7.0, 0.0]])
    assert best_offset(logits, np.array([1, 1, 0]), 1) == 5.0
    assert best_offset(logits, np.array([0, 0, 0]), 1) == 0.0
    assert best_offset(logits, np.array([1, 1, 1]), 1) == 7.5
