import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.kernels.specs.digits import recode


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_recoded_digits_give_the_weights_back(bits, whole_range, seed):
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    weights = np.arange(low, high) if whole_range else np.random.default_rng(seed).integers(low, high, 9)
    digits = recode(weights)
    assert (sum(digit.digits * 4**place for place, digit in enumerate(digits)) == weights).all()
    for digit in digits:
        assert set(np.unique(digit.digits)) <= set(digit.values)
        assert digit.codes().max() < 1 << digit.code_bits


def test_digits_and_codes_stay_small():
    assert [digit.code_bits for digit in recode(np.arange(-6, 8))] == [2, 2]
    assert [digit.code_bits for digit in recode(np.arange(-7, 8))] == [2, 3]
    assert [digit.code_bits for digit in recode(np.array([-1, 1]))] == [1]


def test_binary_and_ternary_products_are_a_row_of_the_activation():
    (binary,) = recode(np.array([-1, 1]))
    (ternary,) = recode(np.array([-1, 0, 1]))
    assert (binary.code_bits, binary.row_bits(1)) == (1, 1)  # XNOR of code and activation
    assert (ternary.code_bits, ternary.row_bits(4)) == (2, 4)
