"""Downloads, from a server on this machine."""

import functools
import hashlib
import http.server
import threading
from dataclasses import replace

import pytest

from common.errors import DataError
from models import data
from models.data import download
from models.data.download import RemoteFile, fetch

from .test_data_files import write_idx


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and remembers what it was asked for."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of `tmp_path/served`: its address, the folder, and the list of requests."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Recording", (Handler,), {"asked": []})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", folder, handler.asked
        running.shutdown()


def remote(path, *urls):
    return RemoteFile(
        path.name, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(url + path.name for url in urls)
    )


def test_fetched_once(server, tmp_path):
    url, folder, asked = server
    (folder / "f").write_bytes(b"content")
    file = remote(folder / "f", url)
    for _ in range(2):
        found = fetch("set", [file], tmp_path / "cache")
        assert found == tmp_path / "cache" / "set"
        assert (found / "f").read_bytes() == b"content"
    assert asked == ["/f"]
    (found / "f").write_bytes(b"broken")
    fetch("set", [file], tmp_path / "cache")
    assert (found / "f").read_bytes() == b"content" and asked == ["/f", "/f"]


def test_mirrors_are_tried_in_turn(server, tmp_path):
    url, folder, asked = server
    (folder / "f").write_bytes(b"content")
    (folder / "bad").mkdir()
    (folder / "bad" / "f").write_bytes(b"other content")
    file = remote(folder / "f", f"{url}absent/", f"{url}bad/", url)
    fetch("set", [file], tmp_path / "cache")
    assert asked == ["/absent/f", "/bad/f", "/f"]


def test_another_checksum_leaves_nothing(server, tmp_path):
    url, folder, _ = server
    (folder / "f").write_bytes(b"content")
    file = replace(remote(folder / "f", url), sha256="0" * 64)
    with pytest.raises(
        DataError, match=r"set: f cannot be downloaded \(another checksum than published\); put"
    ):
        fetch("set", [file], tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_network(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Nothing listens on port 9, "discard".
    nowhere = tuple(
        replace(file, urls=(f"http://127.0.0.1:9/{file.name}",)) for file in download.REMOTE["mnist"]
    )
    for name, hint in (
        ("mnist", "put the"),
        ("fashion-mnist", "install the Debian package dataset-fashion-mnist, or"),
    ):
        monkeypatch.setitem(download.REMOTE, name, nowhere)
        if name in download.PACKAGES:
            absent = replace(download.PACKAGES[name], folder=tmp_path / "absent")
            monkeypatch.setitem(download.PACKAGES, name, absent)
        with pytest.raises(DataError) as caught:
            data.load_source(data.DataSource(name), 0, tmp_path / "cache")
        message = str(caught.value)
        assert message.startswith(
            f"{name}: train-images-idx3-ubyte.gz cannot be downloaded (ConnectionError); {hint}"
        )
        assert message.endswith("give it as data.folder") and "\n" not in message


def test_a_published_set_is_read_from_where_it_was_fetched(server, tmp_path, monkeypatch):
    url, folder, asked = server
    pictures = write_idx(folder, suffix=".gz")
    files = tuple(remote(folder / file.name, url) for file in download.REMOTE["mnist"])
    monkeypatch.setitem(download.REMOTE, "mnist", files)
    source = data.DataSource("mnist", validation_fraction=0.25)
    known = data.digests(source)
    assert not asked
    dataset = data.load_source(source, 0, tmp_path / "cache")
    assert len(asked) == 4 and dataset.test.x.tobytes() == pictures[1].tobytes()
    assert set(data.digests(data.DataSource("mnist", tmp_path / "cache" / "mnist")).values()) == set(
        known.values()
    )


def test_every_published_file_has_its_checksum_and_address():
    for name, files in download.REMOTE.items():
        assert len(files) == (4 if "mnist" in name else 1)
        for file in files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.urls and all(url.endswith(f"/{file.name}") for url in file.urls)


def test_the_cache_is_the_user_s(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.default_cache() == tmp_path / "retort"
