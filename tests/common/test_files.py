"""What is written over and what is not, and disks that are full, read-only or in the way."""

import errno
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import BoardFullError, ConfigError, DiskError, RetortError, ToolError, VerificationError
from common.files import copy_tree, disk_error, output_file, unmentioned, write_atomic, write_output
from pipeline.engine.engine import build
from pipeline.engine.outputs import export, keep_failed
from pipeline.engine.stage import StageContext
from pipeline.engine.store import Store
from tests.pipeline.toy import config, identify, stages


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small disk of its own; skips where none can be mounted."""
    place.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    made = subprocess.run(argv, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if made is None or made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr if made else 'not root'}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


SPECIAL: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "socket": bound,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/full"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_never_replaced(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = tmp_path / "there"
    SPECIAL[kind](path)
    before = (os.lstat(path).st_ino, Path("/dev/full").stat().st_rdev)
    for write in (output_file, lambda path: write_output(path, b"new")):
        with pytest.raises(ConfigError, match=f"there: is a {kind}, which is not written over"):
            write(path)
    with pytest.raises(DiskError, match=f"there: is a {kind}, in the place of a file"):
        write_atomic(path, b"new")
    assert before == (os.lstat(path).st_ino, Path("/dev/full").stat().st_rdev)
    assert list(tmp_path.iterdir()) == [path]


def test_a_real_device_is_never_replaced() -> None:
    with pytest.raises(ConfigError, match="/dev/null: is a device"):
        write_output(Path("/dev/null"), b"new")
    assert Path("/dev/null").is_char_device()


def test_outputs_make_no_folders_and_go_through_links(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path / 'new'}; make it"):
        write_output(tmp_path / "new" / "y.npy", b"")
    assert not (tmp_path / "new").exists()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "y.npy")
    for content in (b"one", b"two"):
        write_output(tmp_path / "link", content)
        assert (tmp_path / "real" / "y.npy").read_bytes() == content
    assert (tmp_path / "link").is_symlink() and len(list((tmp_path / "real").iterdir())) == 1
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for odd in ("round", "x" * 300, "a\0b"):
        with pytest.raises(ConfigError, match="cannot be written"):
            write_output(tmp_path / odd, b"")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = build(config(), stages(), Store(tmp_path / "store"), identify)
    for act in (
        lambda: write_atomic(tmp_path / "file" / "x", b""),
        lambda: Store(tmp_path / "file"),
        lambda: export(result, Store(tmp_path / "store"), tmp_path / "file" / "out"),
        lambda: copy_tree(tmp_path / "store", tmp_path / "file" / "failed"),
    ):
        with pytest.raises(DiskError, match=r"file.*: cannot be written \((Not a directory|File exists)"):
            act()


def failing(context: StageContext) -> None:
    context.log("rtl.log").write_text("first mismatch")
    raise VerificationError(f"rung 'rtl' failed; see {context.log('rtl.log')}")


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, label: str, done: int, total: int) -> None:
        pass


def named_log(error: BaseException) -> Path:
    return Path(str(error).rpartition("; see ")[2])


def test_a_failing_stages_error_outlives_an_out_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    notes = Notes()
    with pytest.raises(VerificationError, match="rung 'rtl' failed; see ") as caught:
        build(
            config(),
            stages(second=failing),
            Store(tmp_path / "store"),
            identify,
            progress=notes,
            keep_failed=lambda stage, work: keep_failed(work, tmp_path / "out" / "digits-icebreaker"),
        )
    assert named_log(caught.value).read_text() == "first mismatch"
    assert "what it left is not kept: " in notes.notes[-2] and "what it left is in" in notes.notes[-1]


def test_without_a_folder_the_store_keeps_what_failed_until_it_succeeds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(VerificationError) as caught:
        build(config(), stages(second=failing), store, identify)
    log = named_log(caught.value)
    assert log.read_text() == "first mismatch" and log.is_relative_to(store.root / "failed")
    build(config(), stages(), store, identify)
    assert not log.exists()


def test_a_log_that_is_kept_nowhere_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    (store.root / "failed").write_text("in the way")
    with pytest.raises(VerificationError) as caught:
        build(config(), stages(second=failing), store, identify)
    assert str(caught.value) == "rung 'rtl' failed"
    assert unmentioned("a; see /t/x.log", Path("/t")) == "a"
    assert unmentioned("a; see /u/x.log", Path("/t")) == "a; see /u/x.log"


SIZES = {"space": "size=256k", "inodes": "size=4m,nr_inodes=24"}


@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES.keys())
def test_a_full_store_is_an_error_of_the_disk(tmp_path: Path, options: str) -> None:
    def big(context: StageContext) -> None:
        (context.work / "b.txt").write_text("b" * 100_000)
        (context.work / "c.txt").write_text("c" * 100_000)

    with mounted(tmp_path / "disk", options) as disk:
        with pytest.raises(DiskError, match="No space left on device") as caught:
            build(config(), stages(second=big), Store(disk / "store"), identify)
        assert str(disk) in str(caught.value)


def silently(context: StageContext) -> None:
    """As a tool does that cannot write, and does not say why."""
    try:
        for number in range(1000):
            (context.work / f"{number}").write_bytes(bytes(10_000))
    except OSError:
        raise ToolError("nextpnr: exit code 1: ERROR: failed") from None


def in_words(context: StageContext) -> None:
    raise ToolError("yosys: exit code 1: ERROR: No space left on device")


@pytest.mark.parametrize("stage", [silently, in_words])
def test_a_stage_on_a_full_disk_keeps_its_words(tmp_path: Path, stage: Callable[..., None]) -> None:
    with mounted(tmp_path / "disk", "size=1m") as disk:
        with pytest.raises(DiskError) as caught:
            build(config(), stages(second=stage), Store(disk / "store"), identify)
        assert "exit code 1: ERROR: " in str(caught.value)
        assert isinstance(caught.value.__cause__, ToolError)


def test_a_read_only_store_and_folder(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        store = Store(disk / "store")
        result = build(config(), stages(), store, identify)
        export(result, store, disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert build(config(), stages(), Store(disk / "store"), identify).ran == ()
        for act in (
            lambda: build(config(seed=2), stages(), Store(disk / "store"), identify),
            lambda: Store(disk / "another"),
            lambda: export(result, store, disk / "out"),
        ):
            with pytest.raises(DiskError, match="Read-only file system"):
                act()
        with pytest.raises(DiskError, match=f"{disk}: cannot be written, by its disk"):
            output_file(disk / "y.npy")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_the_disk_behind_other_errors(number: int) -> None:
    plain = OSError(number, os.strerror(number), "/x/y")
    wrapped = RetortError("cannot be written")
    wrapped.__cause__ = plain
    for error in (plain, wrapped, ToolError(f"g++: {os.strerror(number)}")):
        found = disk_error(error)
        assert isinstance(found, DiskError) and os.strerror(number) in str(found)
    assert disk_error(BoardFullError(f"pynq: its disk is full ({os.strerror(number)})")) is None
    assert disk_error(VerificationError(f"a tool said {os.strerror(number)}")) is None
    assert disk_error(OSError(errno.EACCES, "no", "/x")) is None


def test_no_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "disk", "size=4k") as disk:
        with pytest.raises(OSError, match="No space left on device"):
            (disk / "full").write_bytes(bytes(1 << 16))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(disk)])
        with pytest.raises(FileNotFoundError) as caught:
            tempfile.mkdtemp()
        assert isinstance(disk_error(caught.value, tmp_path), DiskError)
        assert disk_error(ToolError("g++ failed"), tmp_path) is None, "the disk of the folder has room"
