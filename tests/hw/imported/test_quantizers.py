"""Quantizers against qonnx's own operators, and the integer thresholds of chains that end in one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant
from qonnx.custom_op.general.trunc import trunc_v2

from common.errors import LoweringError
from hw.imported import quantizers
from hw.imported.quantizers import Quantizer
from hw.imported.steps import MAKERS as STEPS
from hw.imported.steps import Operands, Step, scaled, shifted
from hw.imported.tensor import Tensor, thresholds

MODES = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]
EIGHTHS = np.arange(-200, 201).astype(np.float32)[:, None] / 8  # ties, and what is beside them


def made(
    mode: str, bits: int = 4, zero: float = 0.0, *, signed: bool = True, narrow: bool = False
) -> Quantizer:
    scale = np.float32(0.5) * np.ones(1, np.float32)
    return quantizers.integer_quantizer(
        "q (Quant)", scale, zero, bits, signed=signed, narrow=narrow, mode=mode
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("signed", "narrow"), [(True, False), (True, True), (False, False), (False, True)])
@pytest.mark.parametrize("zero", [0.0, 3.0])
def test_every_rounding_mode_is_qonnx_s(mode: str, signed: bool, narrow: bool, zero: float) -> None:
    wanted = quant(EIGHTHS, np.float32(0.5), np.float32(zero), np.float32(4), signed, narrow, mode)
    quantizer = made(mode, zero=zero, signed=signed, narrow=narrow)
    np.testing.assert_array_equal(quantizer.values(EIGHTHS), wanted)
    integers = quantizer.counts(EIGHTHS)
    assert integers.min() == 0 and integers.max() == quantizer.levels == 15 - narrow
    np.testing.assert_array_equal((quantizer.least + integers) * np.float32(0.5), wanted)


def test_the_modes_differ_on_ties() -> None:
    ties = np.array([[-1.25], [-0.75], [-0.25], [0.25], [0.75], [1.25]], np.float32)
    given_by = {mode: tuple(made(mode).values(ties)[:, 0] / 0.5) for mode in MODES}
    assert given_by["ROUND"] == given_by["HALF_EVEN"] == (-2, -2, 0, 0, 2, 2)
    assert given_by["CEIL"] == (-2, -1, 0, 1, 2, 3) and given_by["FLOOR"] == (-3, -2, -1, 0, 1, 2)
    assert given_by["HALF_UP"] == given_by["UP"] == (-3, -2, -1, 1, 2, 3)
    assert given_by["HALF_DOWN"] == given_by["DOWN"] == (-2, -1, 0, 0, 1, 2)


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(LoweringError, match=r"q \(Quant\): rounding_mode 'DPU' is none of QONNX's"):
        made("DPU")


def test_bipolar_and_truncation_are_qonnx_s() -> None:
    bipolar = quantizers.bipolar_quantizer(np.array([0.5], np.float32))
    np.testing.assert_array_equal(bipolar.values(EIGHTHS), 0.5 * binary_quant(EIGHTHS, 1.0))
    whole = np.arange(-40, 41).astype(np.float32)[:, None] / 4
    arguments = (np.float32(0.25), np.float32(0), np.float32(8), False, True)
    wanted = trunc_v2(whole, *arguments, np.float32(1.0), np.float32(4), "FLOOR")
    made = quantizers.truncation("t (Trunc)", np.array([0.25], np.float32), 0.0, 4.0, -8, 7, "FLOOR")
    np.testing.assert_array_equal(made.values(whole), wanted)


def chain(rng: np.random.Generator, channels: int) -> tuple[Step, ...]:
    """Elementwise nodes at random, some channels turned around."""
    steps: list[Step] = []
    for _ in range(rng.integers(0, 4)):
        kind = rng.integers(0, 4)
        if kind == 0:
            steps.append(scaled("m (Mul)", rng.choice([-2.0, -0.5, 0.25, 1.0, 3.0], channels)))
        elif kind == 1:
            steps.append(shifted("a (Add)", rng.integers(-8, 9, channels) / 4))
        elif kind == 2:
            steps.extend(STEPS["Relu"](Operands("r (Relu)", {}, 0, {})))
        else:
            steps.extend(STEPS["Tanh"](Operands("t (Tanh)", {}, 0, {})))
    return tuple(steps)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_thresholds_count_what_the_quantizer_gives_at_every_integer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 5))
    low = rng.integers(-60, 1, channels)
    high = low + rng.integers(1, 120, channels)
    scale, offset = np.full(channels, 2.0 ** rng.integers(-3, 2)), rng.integers(-4, 5, channels) / 8
    signed = bool(rng.integers(2))
    quantizer = made(str(rng.choice(MODES)), int(rng.integers(1 + signed, 5)), signed=signed)
    steps = chain(rng, channels)
    tensor = Tensor("x", (channels,), low, high, scale, offset, steps)
    signs = tensor.signs()
    ends = np.stack([low * signs, high * signs])
    tensor = Tensor("x", (channels,), ends.min(axis=0), ends.max(axis=0), scale / signs, offset, steps)
    levels, first = thresholds(tensor, steps, quantizer, "q (Quant)")
    for channel in range(channels):
        integers = np.arange(tensor.low[channel], tensor.high[channel] + 1)
        row = levels[channel if len(levels) > 1 else 0]
        counts = first + (integers[:, None] >= row).sum(axis=1)
        wide = np.repeat(integers[:, None], channels, axis=1)
        np.testing.assert_array_equal(counts, quantizer.counts(tensor.evaluate(wide, steps))[:, channel])


def test_more_levels_than_hardware_compares_with_are_refused() -> None:
    tensor = Tensor("x", (1,), np.array([0]), np.array([5000]), np.ones(1), np.zeros(1))
    with pytest.raises(LoweringError, match=r"q \(Quant\): 1,024 levels; quantize activations to 8 bits"):
        thresholds(tensor, (), made("ROUND", 10, signed=False), "q (Quant)")
