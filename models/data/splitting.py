"""Splits: a stratified validation part, smaller parts for small machines; all by the seed alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ConfigError, DataError
from models.data.dataset import SPLITS, Dataset, Scaling, Split
from models.data.samples import Samples, Source

Rows = NDArray[np.intp]


def stratified(
    labels: NDArray[np.int64], rows: Rows, count: int, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Split `rows` in `(kept, taken)`, `count` of them taken, each class by its share; both sorted."""
    shuffled = rng.permutation(rows)
    # Rank of each row inside its class, scaled to 0..1: the smallest ranks are spread evenly over the
    # classes.
    rank = np.empty(len(rows))
    for label in np.unique(labels[shuffled]):
        members = np.flatnonzero(labels[shuffled] == label)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(rank, kind="stable")
    return np.sort(shuffled[order[count:]]), np.sort(shuffled[order[:count]])


def split(
    name: str,
    source: Source,
    seed: int,
    *,
    test_fraction: float | None,
    validation_fraction: float,
    train_samples: int | None = None,
    test_samples: int | None = None,
    scaling: Scaling | None = None,
) -> Dataset:
    """Make the data set: test part, validation part, uint8, flat.

    A source's own test part stays the test split; else `test_fraction` of all samples is taken.
    `train_samples` and `test_samples` keep a stratified subset of each part. Then `validation_fraction` of
    the training part is taken. Floats become uint8 by a `Scaling` fixed on what is left to train on;
    `scaling` says what bytes stand for that came as bytes.

    Raises `ConfigError`: more samples asked for than there are. Raises `DataError`: a class without training
    samples, one class only, or samples that are all equal.
    """
    rng = np.random.default_rng(seed)
    whole, y = source.train, source.train.y
    rest = np.arange(len(y))
    if source.test is None:
        rest, held_out = stratified(y, rest, part_of(test_fraction or 0, len(rest)), rng)
        test = Samples(whole.x[held_out], y[held_out])
    else:
        test = source.test
    # Generators of their own: a subset of one part changes nothing in the other.
    rest = _subset("train_samples", y, rest, train_samples, np.random.default_rng((seed, 1)))
    kept = _subset(
        "test_samples", test.y, np.arange(len(test)), test_samples, np.random.default_rng((seed, 2))
    )
    train, validation = stratified(y, rest, part_of(validation_fraction, len(rest)), rng)
    _all_classes(name, y[train], source.classes)
    _all_different(name, whole.x[train])
    parts = ((whole.x[train], y[train]), (whole.x[validation], y[validation]), (test.x[kept], test.y[kept]))
    floats = whole.x.dtype != np.uint8
    if floats:
        scaling = Scaling.fit(whole.x[train], source.ranges)
    flat = [
        Split((scaling.apply(x) if floats and scaling else x).reshape(len(x), -1), labels)
        for x, labels in parts
    ]
    shape = tuple(int(size) for size in whole.x.shape[1:])
    return Dataset(name, source.classes, shape, **dict(zip(SPLITS, flat, strict=True)), scaling=scaling)


def part_of(fraction: float, total: int) -> int:
    """Samples of a part of so many, rounded up."""
    return int(np.ceil(fraction * total))


def _subset(
    key: str, labels: NDArray[np.int64], rows: Rows, count: int | None, rng: np.random.Generator
) -> Rows:
    if count is None:
        return rows
    if count > len(rows):
        raise ConfigError(f"data.{key}: {count} asked for, {len(rows)} there; give less")
    return stratified(labels, rows, count, rng)[1]


def _all_classes(name: str, labels: NDArray[np.int64], classes: int) -> None:
    if classes < 2:
        raise DataError(f"{name}: all samples are of one class; give samples of two classes or more")
    counts = np.bincount(labels, minlength=classes)
    if not counts.all():
        empty = int(np.argmin(counts))
        raise DataError(
            f"{name}: class {empty} of {classes} has no training samples; give samples of every class, "
            "or more of them"
        )


def _all_different(name: str, x: NDArray[Any]) -> None:
    if (x == x[0]).all():
        raise DataError(f"{name}: all training samples are equal; there is nothing to tell classes by")
