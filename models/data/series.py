"""Time series of the `.ts` format (timeseriesclassification.com), such as sktime's bundled BasicMotions."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.samples import Source, samples


def bundled_folder(name: str) -> Path:
    """The folder of a data set that sktime brings, found without importing sktime."""
    spec = find_spec("sktime")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(root) / "datasets" / "data" / name
        if folder.is_dir():
            return folder
    raise DataError(
        f"{name}: comes with sktime, which is not here; pip install sktime, or give a folder of .ts files"
    )


def find_series(folder: Path) -> dict[str, Path]:
    """The one pair `NAME_TRAIN.ts`, `NAME_TEST.ts` of `folder`, as `TRAIN` and `TEST`.

    Raises `DataError`: no pair, or more than one file of a kind.
    """
    found = {}
    for part in ("TRAIN", "TEST"):
        paths = sorted(folder.glob(f"*_{part}.ts"))
        if len(paths) != 1:
            what = f"no *_{part}.ts" if not paths else f"{len(paths)} files *_{part}.ts"
            raise DataError(f"{folder}: {what} inside; give a folder with one NAME_TRAIN.ts and NAME_TEST.ts")
        found[part] = paths[0]
    return found


def read_series(paths: dict[str, Path]) -> Source:
    """Read what `find_series` found: float64 (n, time, 1, channels), classes in the order of `@classLabel`.

    Series must have equal lengths, no missing values and no time stamps. Case is ignored in class names.

    Raises `DataError`: file and line of what does not fit.
    """
    train, test = _parse(paths["TRAIN"]), _parse(paths["TEST"])
    if (train.classes, train.x.shape[1:]) != (test.classes, test.x.shape[1:]):
        raise DataError(
            f"{paths['TEST']}: series {test.x.shape[1:]} of classes {', '.join(test.classes)}; to train on "
            f"are {train.x.shape[1:]} of {', '.join(train.classes)}; give files of one data set"
        )
    count = len(train.classes)
    return Source(
        count,
        samples(str(paths["TRAIN"]), train.x, train.y, count),
        samples(str(paths["TEST"]), test.x, test.y, count),
    )


@dataclass(frozen=True, eq=False)
class _Parsed:
    classes: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.int64]


def _parse(path: Path) -> _Parsed:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise DataError(f"{path}: cannot be read ({cause}); get the file again") from cause
    classes, body = _header(path, lines)
    rows: list[NDArray[np.float64]] = []
    labels: list[int] = []
    for number, line in enumerate(lines[body:], body + 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        series, label = _sample(f"{path}, line {number}", text, classes)
        if rows and series.shape != rows[0].shape:
            raise DataError(
                f"{path}, line {number}: series of (channels, time) {series.shape} after {rows[0].shape}; "
                "give series of equal length"
            )
        rows.append(series)
        labels.append(label)
    if not rows:
        raise DataError(f"{path}: no series after @data; get the file again")
    x = np.stack(rows).transpose(0, 2, 1)[:, :, None, :]
    return _Parsed(classes, x, np.array(labels, np.int64))


def _header(path: Path, lines: list[str]) -> tuple[tuple[str, ...], int]:
    """The classes, and the index of the line after `@data`."""
    classes: tuple[str, ...] = ()
    for number, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if key == "@data":
            if not classes:
                raise DataError(
                    f"{path}: no '@classLabel true ...' before @data; give a classification data set"
                )
            return classes, number + 1
        if key == "@timestamps" and words[1:] != ["false"]:
            raise DataError(
                f"{path}, line {number + 1}: series with time stamps; give evenly sampled ones without"
            )
        if key == "@classlabel" and words[1:2] == ["true"]:
            classes = tuple(word.lower() for word in words[2:])
        if not key.startswith("@"):
            break
    raise DataError(f"{path}: no @data line; give a .ts file")


def _sample(where: str, line: str, classes: tuple[str, ...]) -> tuple[NDArray[np.float64], int]:
    """One line, `channel:channel:...:label` with comma-separated values: (channels, time) and the label."""
    *channels, label = line.split(":")
    label = label.strip().lower()
    if label not in classes or not channels:
        raise DataError(
            f"{where}: ends with {label[:40]!r}, no class of {', '.join(classes)}; get the file again"
        )
    try:
        values = [[float(value) for value in channel.split(",")] for channel in channels]
        return np.array(values, np.float64), classes.index(label)
    except ValueError as cause:
        raise DataError(f"{where}: {cause}; give numbers, none missing, equally many a channel") from cause
