"""Comparisons that cannot fail are none: no samples, or samples that all give the same."""

import numpy as np
import pytest

from common.errors import VerificationError
from pipeline.ladder.result import RungResult, compare, constant, varied

EXPECTED = np.array([[1, 2], [3, 4], [5, 6]])


def test_nothing_compared_does_not_pass() -> None:
    for passed in (False, None):
        assert RungResult(passed, "golden").samples == 0
    with pytest.raises(VerificationError, match="no sample was compared with golden"):
        RungResult(True, "golden")
    with pytest.raises(VerificationError, match="no sample was compared with golden"):
        compare("golden", EXPECTED[:0], EXPECTED[:0])


@pytest.mark.parametrize("value", [0, 7])
def test_samples_that_all_give_the_same_do_not_pass(value: int) -> None:
    same = np.full((4, 2), value)
    found = compare("golden", same, same)
    assert (found.passed, found.mismatches, found.samples) == (False, 0, 4)
    assert found.first_mismatch == "all 4 samples are expected to give the same, which proves nothing"
    assert compare("golden", same[:1], same[:1]).passed
    assert compare("golden", EXPECTED, EXPECTED).passed
    assert constant(same) and not constant(EXPECTED) and not constant(same[:1])


def test_samples_keep_their_numbers() -> None:
    rows = np.array([0, 1, 9])
    found = compare("golden", EXPECTED, np.array([[1, 2], [3, 4], [5, 7]]), rows)
    assert found.differs_at == 9
    assert found.first_mismatch == "sample 9, output 1: expected 6, got 7"


def test_few_samples_still_tell_outputs_apart() -> None:
    labels = np.array([0, 0, 0, 0, 0, 2, 1, 0])[:, None]
    assert varied(labels, 4).tolist() == [0, 1, 2, 5]
    assert varied(labels, 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert varied(labels, 100).tolist() == list(range(8))
    assert varied(labels[:5], 3).tolist() == [0, 1, 2]  # there is no other
    assert varied(EXPECTED, 2).tolist() == [0, 1]
    assert varied(labels, 1).tolist() == [0]
