"""Load a build file, run it, open its folder, size its student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.terminal import Silent
from hw.tools.tools import fingerprint
from pipeline.config.build import Build
from pipeline.config.file import load_checked
from pipeline.engine.engine import select
from pipeline.engine.lock import open_built
from pipeline.engine.outputs import build_folder
from pipeline.engine.store import Store

if TYPE_CHECKING:
    from pipeline.sizing.result import Sized
    from retort.folder import Folder

Progress = Callable[[str, int, int], None]
"""`progress(label, done, total)`: how far the loop called `label` is."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> Build:
    """Read and check a build file, its data included.

    Raises `ConfigError`: names the file and the key; `args` has a line for each problem. Raises `DataError`:
    the data set cannot be read.
    """
    return load_checked(Path(path), overrides)


def run(
    build: Build,
    progress: Progress | None = None,
    *,
    until: str | None = None,
    out: str | Path = "out",
    store: str | Path = ".retort",
) -> Folder:
    """Run the stages that are not in the `store`, up to stage `until`, and give the folder `out/<build>`.

    Raises:
        RetortError: a stage failed; those before it stay in the store, and the next run goes on from there.
    """
    from pipeline.stages import stages_of
    from retort.folder import Folder

    folder = Path(out) / build.name
    display = Silent() if progress is None else _Reporting(progress)
    select(build, stages_of(build), until)
    build_folder(
        build, stages_of(build), Store(Path(store)), fingerprint, folder, until=until, progress=display
    )
    return Folder(folder)


def open(folder: str | Path) -> Folder:
    """A build's folder, every file of which is held to the digest that its build gave it.

    Raises `StoreError`: the folder is no build's, or a file is not what was built.
    """
    from retort.folder import Folder

    return Folder(open_built(Path(folder)).folder)


def size(build: Build, progress: Progress | None = None) -> Sized:
    """What the build's student takes of its board; trains nothing.

    Raises `CapacityError`: no student that the build leaves open fits.
    """
    from pipeline.sizing.result import size_of

    return size_of(build, progress or Silent().step)[0]


class _Reporting(Silent):
    """Reports steps to a function, and drops notes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def step(self, label: str, done: int, total: int) -> None:
        """Report the step."""
        self._progress(label, done, total)
