"""Commands and copies through a real SSH server on loopback, and every way in which they fail."""

import subprocess
from dataclasses import replace

import pytest

from common.errors import (
    BoardFullError,
    ConfigError,
    HostKeyError,
    LoginError,
    SilentBoardError,
    UnreachableError,
)
from hw.tools.ssh import Remote
from tests import ssh_server
from tests.virtual_board import CUT, small_disk

pytestmark = pytest.mark.skipif(ssh_server.unavailable() is not None, reason=str(ssh_server.unavailable()))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ssh_server.serve(tmp_path_factory.mktemp("ssh") / "server") as running:
        yield running


@pytest.fixture
def remote(server):
    host = f"{server.user}@{server.host}"
    return Remote(host, server.port, server.key, server.known_hosts)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "ssh.log"


def ask(remote, log, script="echo here", timeout=120.0):
    return remote.run(script, log=log, what="asking", timeout=timeout)


def test_command_gives_code_and_output_and_both_are_logged(remote, log):
    assert ask(remote, log, "echo 'two  words'; echo error >&2; exit 3") == (3, "two  words\nerror\n")
    assert ask(remote, log, "exit 255") == (255, "")
    assert "two  words" in log.read_text()


def test_user_configuration_gives_all_of_it(server, log):
    assert ask(Remote(server.alias, config=server.config), log) == (0, "here\n")


def test_files_and_folders_arrive_whole_and_come_back(remote, log, tmp_path):
    folder = tmp_path / "a folder" / "inner"
    folder.mkdir(parents=True)
    content = bytes(range(256)) * 300
    (folder / "data.bin").write_bytes(content)
    target = tmp_path / "there"
    remote.send([folder.parent], str(target), log=log, what="sending")
    assert (target / "inner" / "data.bin").read_bytes() == content
    back = tmp_path / "back"
    back.mkdir()
    remote.fetch([f"{target}/inner/data.bin"], back, log=log, what="fetching")
    assert (back / "data.bin").read_bytes() == content


def test_unknown_host_says_how_to_add_it(remote, log, tmp_path):
    empty = tmp_path / "none"
    empty.touch()
    with pytest.raises(HostKeyError, match=r"no known host; log in once by `ssh -p \d+ -i .* and compare"):
        ask(replace(remote, known_hosts=empty), log)
    assert empty.read_text() == ""
    with pytest.raises(HostKeyError, match="no known host"):
        replace(remote, known_hosts=empty).fetch(["x"], tmp_path, log=log, what="fetching")


def test_changed_host_key_is_no_unknown_host(remote, log, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    kind, key, _ = (tmp_path / "other.pub").read_text().split(maxsplit=2)
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{remote.port} {kind} {key}\n")
    with pytest.raises(HostKeyError, match="another host key than the known one") as caught:
        ask(replace(remote, known_hosts=known), log)
    assert "\n" not in str(caught.value)


def test_refused_key_asks_for_no_password(remote, log, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "mine"], check=True)
    with pytest.raises(LoginError, match="does not take your key"):
        ask(replace(remote, identity=tmp_path / "mine"), log)


def test_nobody_there(remote, log):
    with pytest.raises(UnreachableError, match="Connection refused"):
        ask(replace(remote, port=1), log)
    with pytest.raises(UnreachableError, match="Could not resolve hostname"):
        ask(replace(remote, host="user@board.invalid"), log)


def test_connection_lost_in_a_command(remote, log):
    with pytest.raises(UnreachableError, match="connection was lost"):
        ask(remote, log, f"bash {CUT}")


def test_command_without_end(remote, log):
    with pytest.raises(SilentBoardError, match="no end after 1 s"):
        ask(remote, log, "sleep 20", timeout=1.0)


def test_full_disk(remote, log, tmp_path):
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    with (
        small_disk(tmp_path / "disk", 64) as disk,
        pytest.raises(BoardFullError, match="takes no more bytes"),
    ):
        remote.send([tmp_path / "large"], f"{disk}/", log=log, what="sending")


@pytest.mark.parametrize("host", ["-oProxyCommand=true", "", "a b", "board:22", "user@/x"])
def test_host_is_never_an_option_nor_a_path(host):
    with pytest.raises(ConfigError, match="give user@name"):
        Remote(host)
