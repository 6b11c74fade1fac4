import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import DiskError, StoreError
from pipeline.engine.store import Manifest, Store, digest_of
from tests.pipeline.toy import ROOT

KEY = "k" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def publish(store: Store, tmp_path: Path, text: str = "content", key: str = KEY) -> Manifest:
    source = tmp_path / "a.txt"
    source.write_text(text)
    with store.lock(key):
        return store.publish(key, "toy", 3, {"a.txt": source}, {"n": 1})


def test_round_trip(store: Store, tmp_path: Path) -> None:
    assert store.manifest(KEY) is None
    published = publish(store, tmp_path)
    assert store.manifest(KEY) == published
    path = store.path(published, "a.txt")
    assert path.read_text() == "content"
    assert path.stat().st_mode & 0o777 == 0o444


def test_manifest_is_deterministic(tmp_path: Path) -> None:
    texts = []
    for name in "ab":
        store = Store(tmp_path / name)
        publish(store, tmp_path)
        texts.append((store.root / "manifests" / f"{KEY}.json").read_bytes())
    assert texts[0] == texts[1]


def test_truncated_altered_and_missing_objects(store: Store, tmp_path: Path) -> None:
    manifest = publish(store, tmp_path)
    path = store.path(manifest, "a.txt")
    told = f"{path}: object of 'a.txt' of stage 'toy' "
    repair = "; run `retort build --repair FILE`"
    path.chmod(0o644)
    path.write_text("cont")
    with pytest.raises(StoreError) as caught:
        store.path(manifest, "a.txt")
    assert str(caught.value) == told + "has 4 bytes instead of 7" + repair
    path.write_text("c0ntent")
    store.check(manifest, deep=False)
    with pytest.raises(StoreError) as caught:
        store.check(manifest)
    assert str(caught.value) == told + "was altered" + repair
    path.unlink()
    with pytest.raises(StoreError) as caught:
        store.check(manifest, deep=False)
    assert str(caught.value) == told + "is missing" + repair


def test_publishing_again_mends_a_damaged_object(store: Store, tmp_path: Path) -> None:
    path = store.path(publish(store, tmp_path), "a.txt")
    path.chmod(0o644)
    path.write_text("c0ntent")
    store.check(publish(store, tmp_path))


@pytest.mark.parametrize("cut", [0, 10, -2])
def test_truncated_manifest(store: Store, tmp_path: Path, cut: int) -> None:
    publish(store, tmp_path)
    path = store.root / "manifests" / f"{KEY}.json"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StoreError, match="the manifest is damaged; run `retort build --repair FILE`"):
        store.manifest(KEY)
    store.discard(KEY)
    assert store.manifest(KEY) is None


def test_altered_manifest(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path)
    path = store.root / "manifests" / f"{KEY}.json"
    path.write_text(path.read_text().replace('"n": 1', '"n": 2'))
    with pytest.raises(StoreError, match="the manifest of stage 'toy' was altered"):
        store.manifest(KEY)


def test_unknown_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"stage 'toy' left no file 'b'; it has a\.txt"):
        store.path(publish(store, tmp_path), "b")


def test_partial_survives_until_publish(store: Store, tmp_path: Path) -> None:
    (store.partial(KEY) / "checkpoint").write_text("1")
    assert (store.partial(KEY) / "checkpoint").exists()
    publish(store, tmp_path)
    assert not (store.root / "partial" / KEY).exists()


def test_checkpoints_of_a_finished_stage_go(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path)
    store.partial(KEY)
    store.partial("unfinished")
    store.sweep()
    assert [path.name for path in (store.root / "partial").iterdir()] == ["unfinished"]


def test_stale_temporary_files_go_and_live_ones_stay(store: Store) -> None:
    stale, live = store.root / "tmp" / "dead.1", store.root / "tmp" / "live.1"
    stale.write_text("")
    with store.lock("live"):
        live.mkdir()
        store.sweep()
        assert live.exists() and not stale.exists()
    store.sweep()
    assert not live.exists()


def test_no_store_possible(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"store: cannot be written \(Not a directory"):
        Store(tmp_path / "file" / "store")


def test_history(store: Store) -> None:
    assert store.recall("build", "toy") is None
    store.remember("build", "toy", {"version": 1})
    assert store.recall("build", "toy") == {"version": 1}


def test_canonical_digest() -> None:
    assert digest_of({"a": 1, "b": (2,)}) == digest_of({"b": [2], "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(float("nan"))


WRITER = """
import sys
from pathlib import Path
from pipeline.engine.store import Store
store, folder = Store(Path(sys.argv[1])), Path(sys.argv[2])
folder.mkdir()
(folder / "a").write_bytes(b"x" * 300_000)
(folder / "b").write_text("small")
for turn in range(20):
    key = f"{turn % 5}" * 64
    with store.lock(key):
        store.publish(key, "toy", 1, {"a": folder / "a", "b": folder / "b"}, {})
    store.check(store.manifest(key))
    store.remember("build", "toy", {"turn": turn})
"""


def test_concurrent_publish(store: Store, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WRITER, str(store.root)]
    writers = [
        subprocess.Popen([*argv, str(tmp_path / str(n))], cwd=ROOT, stderr=subprocess.PIPE) for n in range(4)
    ]
    for writer in writers:
        assert writer.communicate()[1] == b""
        assert writer.returncode == 0
    for turn in range(5):
        manifest = store.manifest(f"{turn}" * 64)
        assert manifest
        store.check(manifest)
    assert list((store.root / "tmp").iterdir()) == []
