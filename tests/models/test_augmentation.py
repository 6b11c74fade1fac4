import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, DataError
from models.augmentation import Augmentation

SHAPES = ((8, 8, 1), (5, 9, 3), (12, 1, 4))


def sample(shape, count=200, seed=0):
    """Random samples without 0, so that what was blanked is seen."""
    return np.random.default_rng(seed).integers(1, 256, (count, int(np.prod(shape))), dtype=np.uint8)


def moved(image, dy, dx):
    """The picture, `dy` rows down and `dx` columns right, pixel by pixel."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - dy < height and 0 <= column - dx < width:
                result[row, column] = image[row - dy, column - dx]
    return result


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shift_occurs_and_is_a_shift(shape):
    x = sample(shape)
    before = x.copy()
    result = Augmentation(shift=2).apply(x, shape, np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)
    across = range(-2, 3) if shape[1] > 1 else (0,)
    found = set()
    for image, made in zip(x.reshape(-1, *shape), result.reshape(-1, *shape), strict=True):
        fits = [(dy, dx) for dy in range(-2, 3) for dx in across if (moved(image, dy, dx) == made).all()]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) == 5 * len(across)


def test_half_are_mirrored():
    x = sample((5, 9, 3), 1000)
    result = Augmentation(mirror=True).apply(x, (5, 9, 3), np.random.default_rng(0)).reshape(-1, 5, 9, 3)
    images = x.reshape(-1, 5, 9, 3)
    same = (result == images).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(result[~same], images[~same][:, :, ::-1])
    assert 400 < same.sum() < 600


@pytest.mark.parametrize("shape", SHAPES)
def test_one_square_is_cut_out(shape):
    x = sample(shape, 500)
    result = Augmentation(cutout=3).apply(x, shape, np.random.default_rng(0)).reshape(-1, *shape)
    images = x.reshape(-1, *shape)
    blank = (result == 0).all(axis=3)
    np.testing.assert_array_equal(result[~blank], images[~blank])
    sizes = []
    for mask in blank:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask[np.ix_(rows, columns)].all() and mask.sum() == len(rows) * len(columns)
        assert (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all()
        sizes.append((len(rows), len(columns)))
    # Clipped at an edge by one pixel, never more: the pixel that was drawn is inside.
    across = {2, 3} if shape[1] > 1 else {1}
    assert set(sizes) == {(height, width) for height in (2, 3) for width in across}
    assert blank.any(axis=0).all()


@given(
    st.sampled_from(SHAPES),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 4),
    st.integers(0, 9),
    st.integers(0, 20),
)
def test_the_generator_alone_decides(shape, shift, mirror, cutout, seed, count):
    augmentation = Augmentation(shift, mirror and shape[1] > 1, cutout)
    x = sample(shape, count)
    first, again = (augmentation.apply(x, shape, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == x.shape and first.dtype == np.uint8 and not np.shares_memory(first, x)
    if augmentation == Augmentation():
        np.testing.assert_array_equal(first, x)


def test_nothing_suits_any_shape():
    x = sample((7,))
    np.testing.assert_array_equal(Augmentation().apply(x, (7,), np.random.default_rng(0)), x)


@pytest.mark.parametrize(
    ("augmentation", "shape", "message"),
    [
        (Augmentation(shift=1), (64,), r"samples have shape \(64,\); only images"),
        (Augmentation(mirror=True), (12, 1, 4), "mirror swaps left and right, but samples have width 1"),
        (Augmentation(shift=5), (5, 9, 3), "shift is 5 for samples of 5 by 9; give less than 5"),
        (Augmentation(cutout=12), (12, 1, 4), "cutout is 12 for samples of 12 by 1; give less than 12"),
    ],
)
def test_what_does_not_fit_the_shape(augmentation, shape, message):
    for ask in (
        lambda: augmentation.check(shape),
        lambda: augmentation.apply(sample(shape), shape, np.random.default_rng(0)),
    ):
        with pytest.raises(ConfigError, match=f"augmentation: {message}"):
            ask()


def test_what_cannot_be():
    for sizes in ({"shift": -1}, {"cutout": -2}):
        with pytest.raises(ConfigError, match=r"augmentation: .* is -.; give at least 0"):
            Augmentation(**sizes)
    for x in (sample((8, 8, 1))[:, :-1], sample((8, 8, 1)) * 1.0, sample((8, 8, 1))[0]):
        with pytest.raises(DataError, match=r"augmentation: .*; give uint8 \(samples, 64\)"):
            Augmentation(shift=1).apply(x, (8, 8, 1), np.random.default_rng(0))
