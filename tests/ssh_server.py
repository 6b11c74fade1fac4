"""A real OpenSSH server on loopback, with keys of its own, for as long as a test wants it."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"  # where sshd is, and a user's PATH often is not

_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
Subsystem sftp internal-sftp
"""

_CLIENT = """\
Host {alias}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class SshServer:
    """A running server.

    `ssh -F config alias` (scp and sftp alike) gets in as the user who runs the tests, by a key, and knows the
    host. Whoever takes no client configuration finds host, port, user, key and known hosts here.
    """

    alias: str
    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    config: Path
    log: Path

    def forget(self) -> None:
        """Make the host one that nobody knows."""
        self.known_hosts.write_text("")


def unavailable() -> str | None:
    """Why no server can be started on this machine, if so."""
    missing = [name for name in ("sshd", "ssh", "scp", "ssh-keygen") if _found(name) is None]
    return f"no {', '.join(missing)} on this machine (openssh-server, openssh-client)" if missing else None


@contextlib.contextmanager
def serve(
    folder: Path, *, alias: str = "farm", environment: Mapping[str, str] | None = None
) -> Iterator[SshServer]:
    """Serve until the block ends; `environment` (a PATH, say) is what a session finds beside its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "user_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    shutil.copyfile(folder / "user_key.pub", folder / "authorized_keys")
    if os.geteuid() == 0:  # a server started by root parts with its privileges there
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with _process(folder, environment or {}) as port:
        user = pwd.getpwuid(os.geteuid()).pw_name
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
        config = folder / "ssh_config"
        config.write_text(_CLIENT.format(alias=alias, port=port, user=user, folder=folder))
        key, log = folder / "user_key", folder / "sshd.log"
        yield SshServer(alias, "127.0.0.1", port, user, key, known, config, log)


@contextlib.contextmanager
def _process(folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """A server's process, on a port that is free when it starts; tried again where another was quicker."""
    sessions = " ".join(f'"{name}={value}"' for name, value in environment.items())
    for _ in range(5):
        port = _free_port()
        text = _SERVER.format(port=port, folder=folder) + (f"SetEnv {sessions}\n" if sessions else "")
        (folder / "sshd_config").write_text(text)
        argv = [str(_found("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "sshd.log").open("wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if _answers(process, port):
                yield port
                return
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError(f"sshd does not start: {(folder / 'sshd.log').read_text()}")


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether the server greets, before it ends or its time is up."""
    for _ in range(SECONDS * 20):
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            if link.recv(4) == b"SSH-":
                return True
        time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _found(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM)
