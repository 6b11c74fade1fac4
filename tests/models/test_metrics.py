import numpy as np
import pytest

from models.metrics import accuracy, agreement, combine, divergence, softened


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
