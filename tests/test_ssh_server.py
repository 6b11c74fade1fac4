"""The test server itself: who gets in, and who does not."""

import subprocess
from pathlib import Path

import pytest

from tests.ssh_server import SshServer, serve, unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("ssh"), environment={"RETORT_TEST": "as set"}) as found:
        yield found


def ssh(server: SshServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [
        "ssh",
        "-F",
        str(server.config),
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        *arguments,
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_runs_a_command_in_the_given_environment(server):
    done = ssh(server, server.alias, 'echo "$RETORT_TEST"; exit 7')
    assert (done.stdout, done.returncode) == ("as set\n", 7), done.stderr


def test_copies_a_file(server, tmp_path):
    (tmp_path / "here").write_text("content")
    argv = [
        "scp",
        "-q",
        "-F",
        str(server.config),
        str(tmp_path / "here"),
        f"{server.alias}:{tmp_path / 'there'}",
    ]
    assert subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode == 0
    assert (tmp_path / "there").read_text() == "content"


def test_lets_nobody_in_without_the_key(server, tmp_path):
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.key), str(key)))
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", server.alias, "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 255 and "Permission denied" in done.stderr


def test_is_a_stranger_once_forgotten(tmp_path: Path):
    with serve(tmp_path / "ssh") as server:
        assert ssh(server, server.alias, "true").returncode == 0
        server.forget()
        done = ssh(server, server.alias, "true")
    assert done.returncode == 255 and "Host key verification failed" in done.stderr
