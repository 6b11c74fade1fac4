"""Files that Retort writes: whole or not at all, over files alone; and what a failing disk is called."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO
from uuid import uuid4

from common.errors import ConfigError, DiskError, LinkError, RetortError, ToolError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What only a disk says, whoever wrote to it."""
_FULL_TEXT = re.compile("|".join(os.strerror(number) for number in FULL))
"""The same, in the words of libraries and tools that keep no `OSError`."""


_NO_TEMPORARY = "No usable temporary directory"
"""What `tempfile` says where none of its folders takes a file."""


def write_atomic(path: Path, data: bytes, temporary: Path | None = None) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut; makes its folder.

    Raises `DiskError`: it cannot be written, or something that is no file has its name.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data, temporary)


def output_file(path: Path) -> Path:
    """Where a file goes that the user named, links followed.

    Raises `ConfigError`: its folder is not there, or a device, FIFO, socket or folder has its name. Raises
    `DiskError`: its folder cannot be written.
    """
    try:
        found = path.resolve()
        if not found.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {found.parent}; make it, or give another file")
        other = kind_of(found)
    except (OSError, RuntimeError, ValueError) as error:  # names too long, links in a circle, NUL
        raise ConfigError(f"{path}: cannot be written ({error}); give another file") from error
    if other:
        raise ConfigError(f"{path}: is a {other}, which is not written over; give the name of a file")
    if not os.access(found.parent, os.W_OK):
        raise DiskError(f"{found.parent}: cannot be written, by its disk or its permissions; write elsewhere")
    return found


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user named; raises as `output_file` does."""
    found = output_file(path)
    with writing(path):
        _replace(found, data)


def log_file(path: Path) -> Path:
    """A log that a tool can append to; makes its folder. Raises `DiskError`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_file(path)
        path.open("ab").close()
    return path


def kind_of(path: Path) -> str | None:
    """What has this name and is neither a file nor a link to one, in a word; None where nothing has it."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "device")


_KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Within it, an `OSError` is a `DiskError` about `what`."""
    try:
        yield
    except OSError as error:
        place = f" at {error.filename}" if error.filename and str(error.filename) != str(what) else ""
        raise DiskError(
            f"{what}: cannot be written ({_reason(error)}{place});"
            " free space or make way there, or write elsewhere"
        ) from error


def disk_error(error: BaseException, *folders: Path) -> DiskError | None:
    """The error of a full or read-only disk of this machine behind another error, if one is.

    Tools and libraries do not all say why they could not write: a disk without room, of those that hold
    `folders` and temporary files, explains them, too. It explains nothing that Retort found itself, such as a
    mismatch.
    """
    if isinstance(error, DiskError | LinkError):  # boards have disks of their own
        return None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and (cause.errno in FULL or _NO_TEMPORARY in str(cause)):
            where = f"{cause.filename}: " if cause.filename else ""
            return DiskError(f"{where}{_reason(cause)}; free space there, or write elsewhere")
        cause = cause.__cause__
    if isinstance(error, RetortError) and not isinstance(error, ToolError):
        return None
    if _FULL_TEXT.search(str(error)):
        return DiskError(f"{error}; free space there, or write elsewhere")
    full = [each for each in (*folders, *_temporary()) if _is_full(each)] if folders else []
    if not full:
        return None
    return DiskError(f"{full[0]}: its disk is full; free space there, or write elsewhere ({error})")


def copy_tree(source: Path, target: Path) -> Path:
    """Copy a folder in place of what is at `target`, links as links; raises `DiskError`."""
    with writing(target):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
    return target


def sync(file: BinaryIO) -> None:
    """Have all that was written to a file on the disk."""
    file.flush()
    os.fsync(file.fileno())


def move(source: Path, target: Path) -> None:
    """Rename, also after a power cut."""
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unmentioned(text: str, folder: Path) -> str:
    """A message that sends nobody to logs in a `folder` that is gone."""
    return re.sub(rf"[;,]? see {re.escape(str(folder))}\S*", "", text)


def _require_file(path: Path) -> None:
    other = kind_of(path)
    if other:
        raise DiskError(f"{path}: is a {other}, in the place of a file; remove it, or write elsewhere")


def _replace(path: Path, data: bytes, temporary: Path | None = None) -> None:
    _require_file(path)
    temporary = temporary or path.with_name(f".{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            sync(file)
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """Why, in a line; of `shutil.copytree`'s list of failures the first."""
    if error.strerror or not error.args or not isinstance(error.args[0], list):
        return str(error.strerror or error)
    return str(error.args[0][0][-1])


def _temporary() -> tuple[Path, ...]:
    try:
        return (Path(gettempdir()),)
    except FileNotFoundError:
        return ()


def _is_full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    return disk.f_bfree == 0 or (disk.f_files > 0 and disk.f_ffree == 0)
