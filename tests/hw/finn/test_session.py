"""Whose failure an exception is."""

from pathlib import Path

import pytest
from qonnx.core.datatype import DataType

from common.errors import CapacityError, LoweringError
from hw.finn.session import finn_failures

LOG = Path("finn.log")


def test_a_failure_inside_finn_is_finn_s() -> None:
    told = r"^x\.onnx: FINN failed with .*; see finn\.log$"
    with pytest.raises(LoweringError, match=told), finn_failures("x.onnx: FINN failed", LOG):
        DataType["NO SUCH TYPE"]


def test_a_fault_of_our_own_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), finn_failures("x.onnx: FINN failed", LOG):
        1 // 0  # noqa: B018


def test_an_error_that_says_what_is_wrong_stays_what_it_is() -> None:
    with pytest.raises(CapacityError, match=r"^too large$"), finn_failures("x.onnx: FINN failed", LOG):
        raise CapacityError("too large")
