"""The sources of data that a build file may name: where their files are, and how each is read."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from common.errors import ConfigError, DataError
from models.data.cifar import CIFAR10, CIFAR100, find_cifar, read_cifar
from models.data.contract import InputContract
from models.data.dataset import Dataset
from models.data.download import PACKAGES, REMOTE, default_cache, fetch
from models.data.idx import find_idx, read_images
from models.data.layout import settle
from models.data.npz import read_npz
from models.data.samples import Samples, Source
from models.data.series import bundled_folder, find_series, read_series
from models.data.splitting import split
from models.data.table import read_table

SCENES_SEED = 1


@dataclass(frozen=True)
class DataSource:
    """What a build asks for.

    Attributes:
        name: one of `SOURCES`.
        path: the file (npz, table) or folder (all others); None where it comes with a library, from the
            operating system or from the network.
        test_fraction: part of all samples, for sources without a test part of their own.
        validation_fraction: part of the training samples.
        train_samples: how many training samples to use, the validation part among them; None for all.
        test_samples: how many test samples to use; None for all.
        label: the column of the classes, of a table.
        categorical: columns of a table whose numbers are names.
        leave_out: columns of a table that are not read.
        questions: generated ones to train on, of scenes.
        layout: the order of the axes of npz arrays, see `models.data.layout`; None where their shape tells.

    Raises `ConfigError`: an unknown name, a fraction outside 0..1, or a path or columns that are missing or
    superfluous.
    """

    name: str
    path: Path | None = None
    test_fraction: float | None = None
    validation_fraction: float = 0.1
    train_samples: int | None = None
    test_samples: int | None = None
    label: str | None = None
    categorical: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    layout: str | None = None
    questions: int | None = None

    def __post_init__(self) -> None:
        if self.name not in SOURCES:
            raise ConfigError(f"data: no source is called {self.name!r}; known: {', '.join(sorted(SOURCES))}")
        for key in ("test_fraction", "validation_fraction"):
            fraction = getattr(self, key)
            if fraction is not None and not 0 < fraction < 1:
                raise ConfigError(f"data.{key}: {fraction} is no part; give a number between 0 and 1")
        for key in ("train_samples", "test_samples"):
            count = getattr(self, key)
            if count is not None and count < 1:
                raise ConfigError(f"data.{key}: {count} samples; give at least 1")
        rule = SOURCES[self.name].path
        if self.path is None and rule == "required":
            raise ConfigError(f"data: {self.name} is read from files; give their path")
        if self.path is not None and rule == "none":
            raise ConfigError(
                f"data: {self.name} comes with a library, and {self.path} is not read; remove it"
            )
        if self.layout is not None and "layout" not in SOURCES[self.name].keys:
            raise ConfigError(f"data.layout: {self.name} has its axes in a known order; remove it")
        self._check_columns()

    def _check_columns(self) -> None:
        keys = SOURCES[self.name].keys
        if "label" in keys and self.label is None:
            raise ConfigError(f"data.label: {self.name} has columns; name the one of the classes")
        for key in ("label", "categorical", "leave_out"):
            if getattr(self, key) and key not in keys:
                raise ConfigError(f"data.{key}: {self.name} has no columns with names; remove it")
        named = [*([self.label] if self.label else []), *self.categorical, *self.leave_out]
        for name in named:
            if named.count(name) > 1:
                raise ConfigError(f"data: column '{name}' is named twice; say one thing of it")


@dataclass(frozen=True)
class _Kind:
    """How a source's files are found and read.

    `path` says whether the user gives their folder, or file; `keys` are what else of a `DataSource` is read.
    """

    find: Callable[[Path], dict[str, Path]]
    read: Callable[..., Source]
    path: Literal["required", "optional", "none"] = "required"
    keys: tuple[str, ...] = ()


def _digits(_: object) -> Source:
    """scikit-learn's 1,797 bundled 8x8 digits (UCI "optdigits", test part), pixel values 0 to 16."""
    from sklearn.datasets import load_digits  # a second of import, for this data set only

    digits = load_digits()
    x, y = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.int64)
    return Source(10, Samples(x, y), None)


def _wine(_: object) -> Source:
    """scikit-learn's 178 bundled wines of three growers (UCI "wine"), 13 measurements of each."""
    from sklearn.datasets import load_wine

    return _measured(load_wine())


def _breast_cancer(_: object) -> Source:
    """scikit-learn's 569 bundled tumours (UCI "WDBC"), 30 measurements; class 0 is malignant."""
    from sklearn.datasets import load_breast_cancer

    return _measured(load_breast_cancer())


def _scenes(_: object, questions: int | None) -> Source:
    """Questions about generated scenes, and a thousand more for the test."""
    from models.data.scenes import ANSWERS, TEST_QUESTIONS, ask

    train, test = (
        Samples(asked.frames(), asked.answers)
        for asked in (ask(questions or 1, SCENES_SEED), ask(TEST_QUESTIONS, SCENES_SEED, part=1))
    )
    return Source(len(ANSWERS), train, test)


def _measured(bunch: Any) -> Source:
    y = bunch.target.astype(np.int64)
    return Source(len(bunch.target_names), Samples(bunch.data.astype(np.float64), y), None)


SOURCES: dict[str, _Kind] = {
    "digits": _Kind(lambda _: {}, _digits, "none"),
    "wine": _Kind(lambda _: {}, _wine, "none"),
    "breast-cancer": _Kind(lambda _: {}, _breast_cancer, "none"),
    "fashion-mnist": _Kind(find_idx, read_images, "optional"),
    "mnist": _Kind(find_idx, read_images, "optional"),
    "cifar10": _Kind(partial(find_cifar, CIFAR10), partial(read_cifar, CIFAR10), "optional"),
    "cifar100": _Kind(partial(find_cifar, CIFAR100), partial(read_cifar, CIFAR100), "optional"),
    "npz": _Kind(
        lambda path: {"npz": path},
        lambda paths, layout: read_npz(paths["npz"], layout),
        keys=("layout",),
    ),
    "basic-motions": _Kind(lambda _: find_series(bundled_folder("BasicMotions")), read_series, "none"),
    "ts": _Kind(find_series, read_series),
    "scenes": _Kind(lambda _: {}, _scenes, "none", ("questions",)),
    "table": _Kind(lambda path: {"table": path}, read_table, keys=("label", "categorical", "leave_out")),
}


def load_source(
    source: DataSource, seed: int, cache: Path | None = None, contract: InputContract | None = None
) -> Dataset:
    """Read a source and split it; the result depends on the files' content, the arguments and `seed` only.

    With a network's `contract` the samples are what it takes; without one, floats become bytes by a scaling
    of their own. A published set without a path comes from the operating system's package, or is downloaded
    once into `cache` (the user's cache folder where None).

    Raises `ConfigError`: more samples asked for than there are, or a test_fraction that does not fit the
    source. Raises `DataError`: a file is missing or damaged, or its content does not fit.
    """
    whole = _read(source, cache)
    if (source.test_fraction is None) == (whole.test is None):
        what = (
            "missing, and there is no test part; add it"
            if whole.test is None
            else "has its own test part; remove it"
        )
        raise ConfigError(f"data.test_fraction: {source.name} {what}")
    name = str(source.path or source.name)
    if contract is None:
        whole = settle(whole, source.layout, name)
    else:
        whole = contract.take(whole, layout=source.layout, name=name)
    return split(
        source.name,
        whole,
        seed,
        test_fraction=source.test_fraction,
        validation_fraction=source.validation_fraction,
        train_samples=source.train_samples,
        test_samples=source.test_samples,
        scaling=contract.scaling if contract else None,
    )


def digests(source: DataSource) -> dict[str, str]:
    """SHA-256 of every file that `load_source` would read, by its role: the content, whatever its path.

    Those of a published set without a path are known beforehand; nothing is fetched for them. A source that
    is part of a tool has none: the tool's identity tells it.

    Raises `DataError`: a file is missing.
    """
    if _is_published(source):
        return {file.name: file.sha256 for file in REMOTE[source.name]}
    return {role: _sha256(path) for role, path in _files(source).items()}


def _is_published(source: DataSource) -> bool:
    return source.path is None and source.name in REMOTE


def _files(source: DataSource) -> dict[str, Path]:
    files = SOURCES[source.name].find(source.path or Path())
    for path in files.values():
        if path.exists() and not path.is_file():  # a FIFO would be waited for
            raise DataError(f"{path}: is no file; give the path of one")
    return files


def read_files(source: DataSource) -> Source:
    """Read a source that is not published, or whose files are given; raises `DataError`."""
    kind = SOURCES[source.name]
    return kind.read(_files(source), **{key: getattr(source, key) for key in kind.keys})


def _read(source: DataSource, cache: Path | None) -> Source:
    kind = SOURCES[source.name]
    if not _is_published(source):
        return read_files(source)
    package = PACKAGES.get(source.name)
    if package and package.folder.is_dir():
        return read_images(find_idx(package.folder), package.contents)
    hint = f"install the Debian package {package.name}, or " if package else ""
    return kind.read(kind.find(fetch(source.name, REMOTE[source.name], cache or default_cache(), hint)))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise DataError(f"{path}: cannot be read ({cause.strerror}); give an existing file") from cause
