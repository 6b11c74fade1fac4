"""`[data]`: which data set, from where, and how it is split. `source` says which keys there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline.config.section import Count, Fraction, Section

if TYPE_CHECKING:
    from models.data import DataSource
    from models.data.outline import Outline

Place = Annotated[str, Field(min_length=1)]
"""A folder or file; a relative one is below the working directory, as in all of Retort's commands."""

Name = Annotated[str, Field(min_length=1)]
"""Of a column."""


class DataConfig(Section):
    """What all sources have: the validation part, and smaller parts for quick builds.

    `train_samples` and `test_samples` keep a stratified subset; the validation part is taken from the former.
    """

    source: str
    validation_fraction: Fraction = 0.1
    train_samples: Count | None = None
    test_samples: Count | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Why the fractions leave nothing to train on, if so."""
        total = (getattr(self, "test_fraction", None) or 0) + self.validation_fraction
        if total >= 1:
            what = f"with test_fraction {total:g} of the data, nothing to train on; give less"
            yield "validation_fraction", what


class DigitsData(DataConfig):
    """scikit-learn's digits, 8 by 8: no files, no test part of their own."""

    source: Literal["digits"]
    test_fraction: Fraction = 0.2


class MeasuredData(DataConfig):
    """scikit-learn's small tables of measurements: no files, no test part of their own."""

    source: Literal["wine", "breast-cancer"]
    test_fraction: Fraction = 0.2


class ScenesData(DataConfig):
    """Generated scenes with questions and answers: no files; as many `questions` as asked for to train on."""

    source: Literal["scenes"]
    questions: Count = 4000
    validation_fraction: Fraction = 0.25


class TableData(DataConfig):
    """A user's own `.csv` file with a line of column names; `label` is the column of the classes.

    Columns of text are categories, as are those of numbers that `categorical` names; columns of `leave_out`
    are not read.
    """

    source: Literal["table"]
    path: Place
    label: Name
    test_fraction: Fraction = 0.2
    categorical: tuple[Name, ...] = ()
    leave_out: tuple[Name, ...] = ()


class PublishedData(DataConfig):
    """A published set of images, its test part as published.

    Its files are in `folder`; without one they come from the operating system's package where it has one, or
    are downloaded once into the user's cache.
    """

    source: Literal["fashion-mnist", "mnist", "cifar10", "cifar100"]
    folder: Place | None = None


class ArrayData(DataConfig):
    """A user's own `.npz` file; `test_fraction` where it has no test part.

    `layout` is the order of its axes, where their sizes do not tell: n for samples, h and w for rows and
    columns, l for time, c for channels.
    """

    source: Literal["npz"]
    path: Place
    test_fraction: Fraction | None = None
    layout: Literal["flat", "nhw", "nhwc", "nchw", "nlc", "ncl"] | None = None


class BasicMotionsData(DataConfig):
    """BasicMotions, 100 steps of 6 sensors, as sktime brings it."""

    source: Literal["basic-motions"]


class SeriesData(DataConfig):
    """A pair of `.ts` files, NAME_TRAIN.ts and NAME_TEST.ts, in `folder`."""

    source: Literal["ts"]
    folder: Place


DATA: dict[str, type[DataConfig]] = {
    "digits": DigitsData,
    "wine": MeasuredData,
    "breast-cancer": MeasuredData,
    "fashion-mnist": PublishedData,
    "mnist": PublishedData,
    "cifar10": PublishedData,
    "cifar100": PublishedData,
    "npz": ArrayData,
    "basic-motions": BasicMotionsData,
    "ts": SeriesData,
    "table": TableData,
    "scenes": ScenesData,
}


def data_source(config: DataConfig) -> "DataSource":
    """The section as `models.data` takes it."""
    from models.data import DataSource

    asked = config.model_dump()
    place = asked.pop("folder", None) or asked.pop("path", None)
    return DataSource(asked.pop("source"), Path(place) if place else None, **asked)


def known_of(config: DataConfig) -> "Outline":
    """What is known of the data before they are split; a user's own files are read for it.

    Raises:
        DataError: a file is missing or damaged.
    """
    from models.data.outline import outline

    return outline(data_source(config))


def data_key(config: DataConfig) -> dict[str, Any]:
    """What the data depend on: the section, with the files' SHA-256 instead of their place.

    Raises:
        DataError: a file is missing.
    """
    from models.data import digests

    asked = config.model_dump(mode="json", exclude={"folder", "path"}, exclude_none=True)
    files = digests(data_source(config))
    return asked | ({"files": files} if files else {})
