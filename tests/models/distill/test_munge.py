"""MUNGE against the paper's Algorithm 1, read line by line, and what follows from it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.data import Split
from models.distill import SoftenedSoftmax
from models.distill.recipe import Recipe
from models.distill.sources import Munge, neighbours
from models.metrics import combine
from models.teachers import Mlp
from models.teachers.ensemble import Teacher
from models.training import TrainingConfig
from tests.models.networks import toy_dataset


def algorithm_1(real, p, s, categorical, seed):
    """One pass of the outer loop; `norm(a, b)` is `a + b * z` with z from the documented stream."""
    rng = np.random.default_rng(seed)
    n, width = real.shape
    low, high = real.min(axis=0).astype(float), real.max(axis=0).astype(float)
    t = [[float(value) for value in row] for row in real]

    def distance(e, other):
        total = 0.0
        for a in range(width):
            if a in categorical:
                total += e[a] != other[a]
            elif high[a] > low[a]:
                total += ((e[a] - other[a]) / (high[a] - low[a])) ** 2
        return total

    for i in range(n):
        e = t[i]
        near = min((distance(e, t[j]), j) for j in range(n) if j != i)[1]
        other = t[near]
        draw, z = rng.random(width), rng.standard_normal((2, width))
        for a in range(width):
            if draw[a] >= p:
                continue
            if a in categorical:
                e[a], other[a] = other[a], e[a]
            else:
                sd = abs(e[a] - other[a]) / s
                e[a], other[a] = other[a] + sd * z[0, a], e[a] + sd * z[1, a]
    return np.clip(np.rint(t), 0, 255).astype(np.uint8)


def samples(seed, count, width=6, categories=4, categorical=(2, 5)):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count, width)).astype(np.uint8)
    x[:, list(categorical)] = rng.integers(0, categories, (count, len(categorical)))
    return x


@settings(max_examples=24, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(2, 24),
    p=st.floats(0.1, 1),
    s=st.floats(0.5, 10),
    block=st.sampled_from([1, 3, 7, 256]),
    values=st.sampled_from([3, 256]),
    tree=st.booleans(),
)
def test_is_the_papers_algorithm(seed, count, p, s, block, values, tree):
    """Whatever is kept of the samples as they were, the closest is that of the changing set."""
    x = samples(seed, count) // (256 // values)  # of few values, many are the same
    made = Munge(swap_probability=p, local_variance=s, categorical=(2, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        patch.setattr(neighbours, "STALE", block)
        patch.setattr(neighbours, "MANY", 0 if tree else 100)
        patch.setattr(neighbours, "FEW", 100)
        found = made.one_pass(x, (seed, 0))
    np.testing.assert_array_equal(found, algorithm_1(x, p, s, (2, 5), (seed, 0)))


def test_many_samples_of_few_attributes_are_found_by_a_tree():
    x = np.random.default_rng(0).integers(0, 256, (300, 3)).astype(np.uint8)
    assert type(neighbours.neighbours(x.astype(float))) is neighbours.ByProducts
    by_products = Munge().one_pass(x, (0,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "MANY", 300)
        patch.setattr(neighbours, "STALE", 40)
        assert type(neighbours.neighbours(x.astype(float))) is neighbours.ByTree
        np.testing.assert_array_equal(Munge().one_pass(x, (0,)), by_products)


def test_two_examples_swap_their_categories_and_approach_each_other():
    x = np.array([[10, 3], [200, 7]], np.uint8)
    once = Munge(swap_probability=1.0, local_variance=1e9, categorical=(1,))
    # Visited first, the two swap; visited second, they swap back.
    np.testing.assert_array_equal(once.one_pass(x, (0,)), x)
    three = np.array([[10, 3], [12, 7], [250, 9]], np.uint8)
    found = once.one_pass(three, (0,))
    assert sorted(found[:, 1]) == [3, 7, 9] and sorted(found[:, 0]) == [10, 12, 250]
    assert {tuple(row) for row in found} == {tuple(row) for row in three}


def test_values_stay_in_the_cloud_and_categories_among_those_known():
    """Only neighbours mix: no pseudo sample between two far clusters, no new category."""
    rng = np.random.default_rng(0)
    low, high = rng.integers(0, 40, (60, 5)), rng.integers(200, 240, (60, 5))
    x = np.concatenate([low, high]).astype(np.uint8)
    x[:, 4] = rng.choice([3, 90, 255], 120)
    made = Munge(local_variance=5.0, categorical=(4,))
    found = made.one_pass(x, (1,))
    assert not ((found[:, :4] > 80) & (found[:, :4] < 160)).any()
    np.testing.assert_array_equal(np.sort(found[:, 4]), np.sort(x[:, 4]))  # swapped, so none more or less
    assert (found != x).any(axis=1).mean() > 0.9
    narrow = Munge(swap_probability=1e-9).one_pass(x, (1,))
    np.testing.assert_array_equal(narrow, x)


def setup(dataset=None, seed=3):
    dataset = dataset or toy_dataset(samples=60)
    members = [Teacher(Mlp((8,)), dataset.input_shape, dataset.classes).eval() for _ in range(2)]
    return SimpleNamespace(
        dataset=dataset, members=members, training=TrainingConfig(2, 16, 1e-2, 0.0, seed=seed), transfer=None
    )


def test_the_transfer_set_is_multiples_of_the_real_samples():
    shop = setup()
    made = Munge(multiple=3).transfer(shop)
    real = shop.dataset.train.x
    assert made.split.x.shape == (4 * len(real), 16) and made.logits.shape == (2, 4 * len(real), 3)
    np.testing.assert_array_equal(made.split.x[: len(real)], real)
    alone = Munge(multiple=3, keep_real=False).transfer(shop)
    np.testing.assert_array_equal(alone.split.x, made.split.x[len(real) :])
    passes = alone.split.x.reshape(3, *real.shape)
    assert (passes[0] != passes[1]).any() and (passes[1] != passes[2]).any()
    other = Munge(multiple=3).transfer(setup(seed=4))
    assert (other.split.x != made.split.x).any()


def test_labels_are_never_looked_at():
    shop = setup()
    blind = replace(shop.dataset, train=Split(shop.dataset.train.x, None))
    first = Munge().transfer(shop)
    second = Munge().transfer(SimpleNamespace(**{**vars(shop), "dataset": blind}))
    np.testing.assert_array_equal(first.split.x, second.split.x)
    probabilities = combine(first.logits)
    chosen = probabilities[np.arange(len(first.split)), first.split.y]
    np.testing.assert_allclose(chosen, probabilities.max(axis=-1), rtol=1e-5)  # of equals, either
    with pytest.raises(ConfigError, match="'munge' have no labels, but they are needed"):
        Recipe(SoftenedSoftmax(hard_label_weight=0.1), source=Munge())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multiple": 0}, "data munge: multiple is 0; give at least 1"),
        ({"swap_probability": 0.0}, "swap_probability is 0.0; give"),
        ({"swap_probability": 1.5}, "swap_probability is 1.5; give"),
        ({"local_variance": 0.0}, "local_variance is 0.0; give"),
        ({"local_variance": float("nan")}, "local_variance is nan; give"),
        ({"categorical": (-1,)}, r"categorical\[0\] is -1; give at least 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        Munge(**settings)


def test_what_does_not_fit_the_samples():
    with pytest.raises(
        ConfigError, match="categorical names place 16; a sample has 16 values, the last at 15"
    ):
        Munge(categorical=(3, 16)).transfer(setup())
    dataset = toy_dataset(samples=60)
    lonely = replace(dataset, train=Split(dataset.train.x[:1], dataset.train.y[:1]))
    with pytest.raises(ConfigError, match="1 training sample; neighbours need at least 2"):
        Munge().transfer(setup(lonely))
