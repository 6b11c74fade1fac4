"""The transfer set's views."""

import tracemalloc

import numpy as np
import pytest

from common.errors import ConfigError
from models.data import Split
from models.distill.training.transfer import shifted_views


def split(shape, count=6):
    rng = np.random.default_rng(0)
    return Split(rng.integers(1, 256, (count, int(np.prod(shape))), dtype=np.uint8), np.arange(count) % 3)


def test_mirrored_views_come_in_pairs_in_the_order_of_the_shifts():
    shape = (4, 5, 2)
    plain = shifted_views(split(shape), shape, 25).x.reshape(25, 6, *shape)
    paired = shifted_views(split(shape), shape, 50, mirror=True)
    pairs = paired.x.reshape(25, 2, 6, *shape)
    np.testing.assert_array_equal(pairs[:, 0], plain)
    np.testing.assert_array_equal(pairs[:, 1], plain[..., ::-1, :])
    np.testing.assert_array_equal(paired.y, np.tile(split(shape).y, 50))
    np.testing.assert_array_equal(pairs[0, 0].reshape(6, -1), split(shape).x)
    np.testing.assert_array_equal(shifted_views(split(shape), shape, 3, mirror=True).x, paired.x[:18])
    np.testing.assert_array_equal(shifted_views(split(shape), shape, 25).x, plain.reshape(150, -1))


def test_series_are_shifted_in_time_only():
    shape = (30, 1, 2)
    made = shifted_views(split(shape), shape, 25).x.reshape(25, 6, 30, 2)
    series = split(shape).x.reshape(6, 30, 2)
    np.testing.assert_array_equal(made[0], series)
    for step in range(1, 13):
        earlier, later = made[2 * step - 1], made[2 * step]
        np.testing.assert_array_equal(earlier[:, :-step], series[:, step:])
        np.testing.assert_array_equal(later[:, step:], series[:, :-step])
        assert not earlier[:, -step:].any() and not later[:, :step].any()


@pytest.mark.parametrize(
    ("shape", "count", "mirror", "message"),
    [
        ((4, 4, 1), 0, False, "views is 0; give 1 to 25"),
        ((4, 4, 1), 26, False, "views is 26; give 1 to 25"),
        ((4, 4, 1), 51, True, "views is 51; give 1 to 50"),
        ((16,), 2, False, "only images"),
        ((16, 1, 2), 2, True, "series have no mirror image; set mirror to false"),
        ((3, 1, 2), 6, False, r"views is 6, too many for samples of \(3, 1\); give less"),
        ((2, 8, 1), 10, False, r"views is 10, too many for samples of \(2, 8\)"),
    ],
)
def test_views_that_cannot_be(shape, count, mirror, message):
    with pytest.raises(ConfigError, match=f"teacher: .*{message}"):
        shifted_views(split(shape), shape, count, mirror)


def test_views_need_little_more_memory_than_themselves():
    shape = (28, 28, 1)
    whole = split(shape, 2000)
    tracemalloc.start()
    made = shifted_views(whole, shape, 10, mirror=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * made.x.nbytes
