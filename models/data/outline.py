"""What a source holds, known before it is split: for checks before the first stage."""

from dataclasses import dataclass

from models.data.sources import DataSource, read_files
from models.data.splitting import part_of


@dataclass(frozen=True)
class Outline:
    """Classes, shape of a sample, samples of the training part and of the source's own test part."""

    classes: int
    shape: tuple[int, ...]
    train: int
    test: int | None

    def split(
        self,
        test_fraction: float | None,
        validation_fraction: float,
        train_samples: int | None,
    ) -> tuple[int, int]:
        """Samples that the split has of the training part with validation, and to train on."""
        rest = self.train - (part_of(test_fraction, self.train) if test_fraction else 0)
        kept = rest if train_samples is None else min(train_samples, rest)
        return rest, kept - part_of(validation_fraction, kept)


FIXED = {
    "digits": Outline(10, (8, 8, 1), 1797, None),
    "wine": Outline(3, (13,), 178, None),
    "breast-cancer": Outline(2, (30,), 569, None),
    "mnist": Outline(10, (28, 28, 1), 60_000, 10_000),
    "fashion-mnist": Outline(10, (28, 28, 1), 60_000, 10_000),
    "cifar10": Outline(10, (32, 32, 3), 50_000, 10_000),
    "cifar100": Outline(100, (32, 32, 3), 50_000, 10_000),
    "basic-motions": Outline(4, (100, 1, 6), 40, 40),
}
"""Of sets that are always the same."""


def outline(source: DataSource) -> Outline:
    """What is known of a source; a user's own files are read for it.

    Raises `DataError`: a file is missing or damaged.
    """
    if source.name in FIXED and source.path is None:
        return FIXED[source.name]
    whole = read_files(source)
    shape = tuple(int(side) for side in whole.train.x.shape[1:])
    return Outline(whole.classes, shape, len(whole.train), None if whole.test is None else len(whole.test))
