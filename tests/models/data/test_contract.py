"""Data sets as networks made elsewhere take them: the order of their axes, and what a byte stands for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import DataError
from models import data
from models.data import InputContract, Scaling
from models.data.contract import Reading
from models.data.samples import Samples, Source

RNG = np.random.default_rng(0)
PLAIN = Scaling((0.0,), (1.0,))


def frames(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def source(x: np.ndarray, settled: bool = False) -> Source:
    return Source(2, Samples(x, np.arange(len(x)) % 2), None, settled=settled)


def taken(contract: InputContract, x: np.ndarray, layout: str | None = None, settled: bool = False) -> Any:
    return contract.take(source(x, settled), layout=layout, name="a.npz").train.x


# The order of the axes: `first` transposes the samples to channels first, which the network took


@pytest.mark.parametrize(
    ("shape", "given", "first"),
    [
        ((3, 4, 5), (4, 5, 3), (0, 3, 1, 2)),
        ((3, 4, 5), (3, 4, 5), (0, 1, 2, 3)),
        ((1, 8, 8), (8, 8), (0, 1, 2)),
        ((1, 8, 8), (1, 8, 8), (0, 1, 2, 3)),
        ((1, 8, 8), (64,), (0, 1)),
        ((3, 16), (16, 1, 3), (0, 3, 1, 2)),
        ((3, 16), (16, 3), (0, 2, 1)),
        ((3, 16), (3, 16), (0, 1, 2)),
        ((3, 16), (3, 1, 16), (0, 1, 2, 3)),
        ((64,), (64,), (0, 1)),
        ((64,), (8, 8), (0, 1, 2)),
        ((64,), (8, 8, 1), (0, 1, 2, 3)),
    ],
)
def test_one_order_that_fits(shape: tuple[int, ...], given: tuple[int, ...], first: tuple[int, ...]) -> None:
    x = frames(4, *given)
    channels_first = x.transpose(first).reshape(4, *shape)
    found = taken(InputContract(shape, PLAIN), x)
    if len(shape) == 2:
        np.testing.assert_array_equal(found, channels_first.transpose(0, 2, 1)[:, :, None, :])
    else:
        np.testing.assert_array_equal(found, np.moveaxis(channels_first, 1, -1))


AMBIGUOUS = [
    ((8, 8, 8), (8, 8, 8), "data.layout to 'nhwc' or 'nchw'"),
    ((8, 8), (8, 8), "data.layout to 'nlc' or 'ncl'"),
    ((48,), (3, 4, 4), "data.layout to 'nhwc' or 'nchw'"),
    ((48,), (4, 4, 3), "student.flattened to 'chw' or 'hwc'"),
]


@pytest.mark.parametrize(("shape", "given", "advice"), AMBIGUOUS)
def test_several_orders_need_a_key(shape: tuple[int, ...], given: tuple[int, ...], advice: str) -> None:
    with pytest.raises(DataError, match=rf"a\.npz: frames of .* several ways .*; set {advice}$"):
        taken(InputContract(shape, PLAIN), frames(4, *given))


def test_floats_with_three_axes_are_images_or_series() -> None:
    with pytest.raises(DataError, match=r"set data\.layout to 'nhw' or 'nlc' or 'ncl'"):
        taken(InputContract((64,), PLAIN), frames(4, 8, 8).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "given", "keys", "first"),
    [
        ((8, 8, 8), (8, 8, 8), ("nhwc", None), (0, 3, 1, 2)),
        ((8, 8, 8), (8, 8, 8), ("nchw", None), (0, 1, 2, 3)),
        ((8, 8), (8, 8), ("nlc", None), (0, 2, 1)),
        ((8, 8), (8, 8), ("ncl", None), (0, 1, 2)),
        ((48,), (3, 4, 4), ("nchw", "chw"), (0, 1, 2, 3)),
        ((48,), (3, 4, 4), ("nchw", "hwc"), (0, 2, 3, 1)),
        ((48,), (4, 4, 3), ("nhwc", "chw"), (0, 3, 1, 2)),
        ((48,), (4, 4, 3), (None, "hwc"), (0, 1, 2, 3)),
        ((48,), (16, 3), ("nlc", "chw"), (0, 2, 1)),
    ],
)
def test_keys_say_the_order(
    shape: tuple[int, ...],
    given: tuple[int, ...],
    keys: tuple[str | None, str | None],
    first: tuple[int, ...],
) -> None:
    layout, flattened = keys
    x = frames(4, *given)
    wanted = x.transpose(first).reshape(4, *shape)
    for recorded in (None, wanted[:1]):  # which agrees with the keys
        contract = InputContract(shape, PLAIN, flattened, recorded)
        found = taken(contract, x, layout)
        back = found if len(shape) == 1 else np.moveaxis(found, -1, 1).reshape(4, *shape)
        np.testing.assert_array_equal(back, wanted)
    other = x if first != tuple(range(x.ndim)) else np.moveaxis(x, -1, 1)
    refuting = InputContract(shape, PLAIN, flattened, other.reshape(4, *shape)[2:])
    with pytest.raises(DataError, match=r"2 frames of student\.recorded are in it in another order"):
        taken(refuting, x, layout)


@pytest.mark.parametrize(("shape", "given", "advice"), AMBIGUOUS)
@pytest.mark.parametrize("first", [False, True])
def test_frames_in_both_prove_the_order(
    shape: tuple[int, ...], given: tuple[int, ...], advice: str, first: bool
) -> None:
    x = frames(6, *given)
    ordered = x if first else np.moveaxis(x, -1, 1)
    recorded = ordered.reshape(6, *shape)
    found = taken(InputContract(shape, PLAIN, recorded=recorded[4:5]), x)
    back = found if len(shape) == 1 else np.moveaxis(found, -1, 1).reshape(6, *shape)
    np.testing.assert_array_equal(back, recorded)


def test_frames_that_look_the_same_either_way_prove_nothing() -> None:
    x = frames(6, 8, 8, 8)
    x[0] = 7  # the same in every order
    for recorded in (x[:1], frames(3, 8, 8, 8)):
        with pytest.raises(DataError, match="several ways"):
            taken(InputContract((8, 8, 8), PLAIN, recorded=recorded), x)
        assert len(taken(InputContract((8, 8, 8), PLAIN, recorded=recorded), x, "nhwc")) == 6


@pytest.mark.parametrize("shape", [(1, 8, 8), (64,)])
@pytest.mark.parametrize("settled", [True, False])
def test_turned_images_are_refuted(shape: tuple[int, ...], settled: bool) -> None:
    x = frames(6, 8, 8, 1)
    for recorded in (frames(3, *shape), x.reshape(6, *shape)):
        assert len(taken(InputContract(shape, PLAIN, recorded=recorded), x, settled=settled)) == 6
    turned = x.swapaxes(1, 2).reshape(6, *shape)
    with pytest.raises(DataError, match=r"6 frames of .* are in it in another order, that of .*; correct"):
        taken(InputContract(shape, PLAIN, recorded=turned), x, settled=settled)


def test_sources_of_known_order_take_no_layout() -> None:
    """CIFAR's are channels last; how a flat network flattened them is still open."""
    x = frames(4, 4, 4, 3)
    with pytest.raises(DataError, match=r"set student\.flattened to 'chw' or 'hwc'"):
        taken(InputContract((48,), PLAIN), x, settled=True)
    with pytest.raises(DataError, match=r"in another order, that of student\.flattened = \"chw\"; correct"):
        taken(InputContract((48,), PLAIN, "hwc", x.transpose(0, 3, 1, 2).reshape(4, 48)), x, settled=True)
    cube = frames(4, 3, 3, 3)
    np.testing.assert_array_equal(taken(InputContract((3, 3, 3), PLAIN), cube, settled=True), cube)


@pytest.mark.parametrize(
    ("shape", "given", "layout"),
    [
        ((3, 4, 4), (48,), None),
        ((64,), (8, 9), None),
        ((1, 8, 8), (65,), None),
        ((3, 4, 5), (3, 4, 5), "nhwc"),
        ((3, 16), (3, 16), "nlc"),
    ],
)
def test_frames_of_another_shape(shape: tuple[int, ...], given: tuple[int, ...], layout: str | None) -> None:
    with pytest.raises(DataError, match=r"a\.npz: frames of .*; the network takes .*, channels first"):
        taken(InputContract(shape, PLAIN), frames(2, *given), layout)


def test_a_reading_that_does_not_fit() -> None:
    assert Reading("nchw").frames(frames(2, 3, 4, 4), (4, 4, 3)) is None


# What a byte stands for


@pytest.mark.parametrize("scaling", [Scaling((-1.0,), (1 / 64,)), Scaling((0.0, 1.0, -1.0), (0.1, 0.5, 2.0))])
def test_floats_become_the_bytes_that_stand_for_them(scaling: Scaling) -> None:
    """By the network's numbers, not by the data's own range, which here does not reach the ends."""
    x = RNG.integers(20, 200, (6, 4, 4, 3), dtype=np.uint8)
    offset, scale = (np.array(numbers) for numbers in (scaling.offset, scaling.scale))
    contract = InputContract((3, 4, 4), scaling)
    for away in (0.0, 0.3, -0.3):
        floats = (x + away) * scale + offset
        np.testing.assert_array_equal(taken(contract, floats), x)
        np.testing.assert_array_equal(taken(contract, np.moveaxis(floats, -1, 1)), x)
    np.testing.assert_array_equal(taken(contract, x), x)  # bytes are bytes


def test_a_flat_network_has_numbers_for_each_value() -> None:
    x = frames(8, 5)
    scale = np.array([0.1, 1.0, 2.0, 3.0, 0.5])
    contract = InputContract((5,), Scaling((1.0,), tuple(scale)))
    np.testing.assert_array_equal(taken(contract, x * scale + 1), x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (frames(50, 8) / 4, "values are 0 to 63.75, bytes stand for -2 to 1.98438; set student.scale"),
        (frames(50, 8) / 64 - 2 + 0.2, "values are -1.8 to 2.18438, bytes stand for"),
        (np.where(frames(50, 8) > 250, 1e300, 0.0), "values are 0 to 1e.300, bytes stand for"),
        (RNG.random((50, 8)) / 64, "values are .* and a byte's step is 0.015625: rounding loses them; set"),
    ],
)
def test_floats_that_bytes_do_not_stand_for(values: np.ndarray, message: str) -> None:
    values[0, :2] = values.min(), values.max()
    with pytest.raises(DataError, match=message):
        taken(InputContract((8,), Scaling((-2.0,), (1 / 64,))), values)


def test_the_channel_is_named() -> None:
    x = frames(20, 4, 4, 3) * np.array([1.0, 1.0, 0.001])
    with pytest.raises(DataError, match=r"a\.npz, training samples, channel 2: values are .* rounding loses"):
        taken(InputContract((3, 4, 4), Scaling((0.0,), (1.0, 1.0, 1.0))), x)


def test_a_few_values_beyond_saturate() -> None:
    x = frames(100, 64).astype(np.float64)
    x[3, 4], x[5, 6] = 1000.0, -1000.0
    found = taken(InputContract((64,), PLAIN), x)
    assert (found[3, 4], found[5, 6]) == (255, 0)


def test_recorded_floats_stand_for_bytes_exactly() -> None:
    x, scales = frames(5, 3, 4, 4), (0.1, 1 / 255, 2.0)
    floats = (x * np.reshape(scales, (-1, 1, 1)) - 1.0).astype(np.float32)
    contract = InputContract((3, 4, 4), Scaling((-1.0,), scales))
    np.testing.assert_array_equal(contract.exact("x", floats), x)
    np.testing.assert_array_equal(contract.exact("x", x), x)
    for wrong in (floats + 0.05, floats + 600, floats * np.nan):
        with pytest.raises(DataError, match=r"x: .* stands for no byte; correct student\.scale"):
            contract.exact("x", wrong)


def test_the_data_set_keeps_what_its_bytes_stand_for(tmp_path: Path) -> None:
    x = frames(40, 3, 4, 4) / 64 - 2
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    contract = InputContract((3, 4, 4), Scaling((-2.0,), (1 / 64,)))
    asked = data.DataSource("npz", tmp_path / "a.npz", 0.5, 0.5)
    made = data.load_source(asked, 0, contract=contract)
    assert made.scaling == contract.scaling and made.input_shape == (4, 4, 3)
    known = {row.tobytes() for row in np.rint((np.moveaxis(x, 1, -1) + 2) * 64).astype(np.uint8)}
    assert {row.tobytes() for row in made.test.x} <= known
    data.save(made, tmp_path / "data.safetensors")
    assert data.load(tmp_path / "data.safetensors").scaling == contract.scaling
