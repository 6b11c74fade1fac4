"""A built folder against its locks: files that are not what was built, and locks that are none."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import StoreError
from pipeline.engine.engine import build
from pipeline.engine.lock import LOCK, VOLATILE, keep, open_built, read_lock
from pipeline.engine.outputs import export
from pipeline.engine.store import Store
from tests.locks import relocked, write_lock
from tests.pipeline.toy import config, identify, stages

FILES = ("core.v", "metrics.json", "deploy/driver/settings.json", "verification.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "built"
    for name in FILES:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(f"what is in {name}")
    write_lock(made, volatile=("verification.json",))
    assert open_built(made).lock.files.keys() == set(FILES) - {"verification.json"}
    return made


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.rename(path.parent.parent / "moved")
        make(path)

    return change


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


CHANGES: dict[str, Callable[[Path], None]] = {
    "flipped": flipped,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n") and None,
    "empty": lambda path: path.write_bytes(b"") and None,
    "missing": Path.unlink,
    "folder": replaced(Path.mkdir),
    "FIFO": replaced(os.mkfifo),
    "socket": replaced(bound),
    "link": replaced(lambda path: path.symlink_to(path.parent.parent / "moved")),
    "broken link": replaced(lambda path: path.symlink_to("nowhere")),
    "link in a circle": replaced(lambda path: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_is_not_what_was_built_is_named(
    folder: Path, change: Callable[[Path], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a socket's path is short
    change(folder / name)
    with pytest.raises(StoreError) as caught:
        open_built(folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert str(caught.value).endswith("run `retort build` again")


def test_a_folder_behind_a_link_is_not_the_builds(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "deploy", tmp_path / "elsewhere")
    (folder / "deploy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"deploy/driver: leads out of {folder}; remove the link"):
        open_built(folder)


def test_strangers_in_folders_of_the_build(folder: Path) -> None:
    (folder / "frames.npy").write_text("a user's own")
    (folder / "logs").mkdir()
    (folder / "logs" / "flash.log").write_text("")
    open_built(folder)
    for make in (lambda path: path.write_text("import os"), lambda path: path.symlink_to(folder)):
        stranger = folder / "deploy" / "driver" / "driver.py"
        make(stranger)
        with pytest.raises(StoreError, match=r"driver/driver\.py: is no file of this build"):
            open_built(folder)
        stranger.unlink()


def test_volatile_files_are_held_to_what_wrote_them(folder: Path) -> None:
    lock = (folder / LOCK).read_bytes()
    keep(folder, "verification.json", b"[]")
    keep(folder, "report.html", b"<html>")
    assert open_built(folder) and (folder / LOCK).read_bytes() == lock
    (folder / "report.html").write_text("<body>")
    with pytest.raises(StoreError, match=r"report\.html: is not what was built"):
        open_built(folder)
    keep(folder, "report.html", b"<html>")
    held = json.loads((folder / VOLATILE).read_bytes())
    for files in ({}, held["files"] | {"core.v": held["files"]["report.html"]}):
        (folder / VOLATILE).write_text(json.dumps(held | {"files": files}))
        with pytest.raises(StoreError, match=rf"{VOLATILE}: "):
            open_built(folder)
    (folder / VOLATILE).write_text(json.dumps(held | {"lock": "0" * 64}))
    with pytest.raises(StoreError, match=f"{VOLATILE}: is of another {LOCK}"):
        open_built(folder)
    (folder / VOLATILE).unlink()
    with pytest.raises(StoreError, match=f"{VOLATILE}: not there"):
        open_built(folder)


OUTSIDE = ("../victim.txt", "/victim.txt", "a/../../victim.txt", "..", ".", "", "a//b", "a/", "./a")
ODD = ("a\\b", "a\nb", "a\0b", "\x1b[2J", LOCK, VOLATILE, "x" * 2000)


@pytest.mark.parametrize("name", [*OUTSIDE, *ODD], ids=range(len(OUTSIDE + ODD)))
def test_names_that_lead_elsewhere(folder: Path, name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("not ours")
    entry = {"sha256": "0" * 64, "size": 8}
    stage = json.loads((folder / LOCK).read_bytes())["stages"]["bitstream"]
    result = build(config(), stages(), Store(tmp_path / "store"), identify)
    for changes in ({"volatile": [name]}, {"stages": {"bitstream": stage | {"files": {name: entry}}}}):
        relocked(folder, **changes)
        with pytest.raises(StoreError, match=rf"{LOCK}: not a lock of a build") as caught:
            open_built(folder)
        assert str(caught.value).isprintable()
        export(result, Store(tmp_path / "store"), folder)
        assert victim.read_text() == "not ours"
        assert open_built(folder).config.name == config().name


def test_export_removes_nothing_behind_links(tmp_path: Path) -> None:
    store, folder, elsewhere = Store(tmp_path / "store"), tmp_path / "out", tmp_path / "elsewhere"
    result = build(config(), stages(), store, identify)
    export(result, store, folder)
    shutil.rmtree(folder / "logs")
    elsewhere.mkdir()
    (elsewhere / "diary.txt").write_text("not ours")
    (folder / "logs").symlink_to(elsewhere)
    with pytest.raises(StoreError, match=f"leads out of {folder}; remove the link"):
        export(result, store, folder)
    assert [path.name for path in elsewhere.iterdir()] == ["diary.txt"]
    (folder / "logs").unlink()
    (folder / "a.txt").rename(elsewhere / "a.txt")
    (folder / "a.txt").symlink_to(elsewhere / "a.txt")
    export(result, store, folder)
    assert open_built(folder) and not (folder / "a.txt").is_symlink()


@pytest.mark.parametrize(
    "changes",
    [
        {"board": "hx8k"},
        {"build": "other"},
        {"seed": 4},
        {"config": {}},
        {"config_sha256": "0" * 64},
        {"volatile": ["core.v"]},
        {"more": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_parts_of_a_lock_agree(folder: Path, changes: dict[str, Any]) -> None:
    relocked(folder, **changes)
    with pytest.raises(StoreError, match=rf"{LOCK}: not a lock of a build"):
        read_lock(folder)


def test_what_is_no_build_file_is_no_lock(folder: Path) -> None:
    from pipeline.engine.store import digest_of

    before = json.loads((folder / LOCK).read_bytes())["config"]
    for change in ({"board": {"name": "none"}}, {"student": 1}, {"network": {"path": "x"}}, {"data": None}):
        raw = before | change
        name = raw["board"]["name"]
        relocked(folder, config=raw, config_sha256=digest_of(raw), board=name)
        with pytest.raises(StoreError, match=rf"{LOCK}: .*; run `retort build` again") as caught:
            open_built(folder)
        assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every value within JSON-able data, by the keys that lead to it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = changed(value[first], tuple(rest), new)
    return copy


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("malformed") / "built"
    made.mkdir()
    (made / "core.v").write_text("module core")
    (made / "verification.json").write_text("[]")
    write_lock(made, volatile=("verification.json",))
    (made / "as-built").write_bytes((made / LOCK).read_bytes())
    (made / "as-held").write_bytes((made / VOLATILE).read_bytes())
    return made


def refused_or_the_same(folder: Path, name: str, before: bytes, content: bytes) -> None:
    (folder / name).write_bytes(content)
    try:
        open_built(folder)
    except StoreError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
    else:
        assert json.loads(content) == json.loads(before)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_malformed_locks_are_store_errors(shared_folder: Path, data: st.DataObject) -> None:
    name, kept = data.draw(st.sampled_from([(LOCK, "as-built"), (VOLATILE, "as-held")]))
    for each, source in ((LOCK, "as-built"), (VOLATILE, "as-held")):
        shutil.copyfile(shared_folder / source, shared_folder / each)
    before = (shared_folder / kept).read_bytes()
    raw = json.loads(before)
    path = data.draw(st.sampled_from(list(places(raw))))
    new = data.draw(JSON)
    refused_or_the_same(shared_folder, name, before, json.dumps(changed(raw, path, new)).encode())


@given(st.binary(max_size=64), st.integers(min_value=0), st.integers(1, 64))
@settings(max_examples=100, deadline=None)
def test_damaged_locks_are_store_errors(shared_folder: Path, junk: bytes, where: int, length: int) -> None:
    before = (shared_folder / "as-built").read_bytes()
    shutil.copyfile(shared_folder / "as-held", shared_folder / VOLATILE)
    at = where % len(before)
    for content in (junk, before[:at], before[:at] + junk + before[at + length :]):
        try:
            refused_or_the_same(shared_folder, LOCK, before, content)
        except ValueError:
            pytest.fail(f"accepted: {content!r}")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 10_000, b"1" * 10_000, b"\xff\xfe", b"NaN"])
def test_deep_and_odd_locks(folder: Path, content: bytes) -> None:
    (folder / LOCK).write_bytes(content)
    with pytest.raises(StoreError, match=f"{LOCK}: not a lock of a build"):
        open_built(folder)
