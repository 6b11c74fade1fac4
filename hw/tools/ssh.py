"""Another machine by OpenSSH: runs commands and copies files; each kind of failure is an error of its own.

It never asks for a password or a new host key. `ssh` reads the user's own configuration.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import (
    BoardFullError,
    ConfigError,
    HostKeyError,
    LinkError,
    LoginError,
    SilentBoardError,
    ToolError,
    UnreachableError,
)
from hw.tools import tools

COPY_SECONDS = 600.0
_BATCH = ("BatchMode=yes", "StrictHostKeyChecking=yes")
_PATIENCE = ("ConnectTimeout=30", "ServerAliveInterval=10", "ServerAliveCountMax=3")
_ENDED = "retort: ended with "
"""Printed after a command; without it, the connection ended before the command did."""

_FAILURES: tuple[tuple[str, type[LinkError], str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        HostKeyError,
        "it shows another host key than the known one; if it was set up anew, remove the old key with"
        " `ssh-keygen -R` and log in once by `{login}`, else somebody answers in its place",
    ),
    (
        "Host key verification failed",
        HostKeyError,
        "it is no known host; log in once by `{login}`, and compare the fingerprint that ssh shows with"
        " its own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console) before you accept",
    ),
    (
        r"Permission denied \(",
        LoginError,
        "it does not take your key; put the public one there with `ssh-copy-id`, or give --identity",
    ),
    (
        r"No space left on device|write remote .*: Failure",
        BoardFullError,
        "it takes no more bytes; make room on its disk",
    ),
    (
        r"Could not resolve hostname|Connection refused|timed out|No route to host|Network is unreachable",
        UnreachableError,
        "cannot be reached ({last}); is it on, on the network, and is this its name and port?",
    ),
    (
        r"[Ll]ost connection|Connection (to .* )?(closed|reset)|Broken pipe|not responding|exchange_ident",
        UnreachableError,
        "the connection was lost ({last}); run it again",
    ),
)


@dataclass(frozen=True)
class Remote:
    """A machine that `ssh` can log in to without asking.

    Attributes:
        host: `user@name`, or a name of the user's ssh configuration.
        port: of its SSH server; None leaves it to the configuration.
        identity: file of the private key, in place of the configuration's.
        known_hosts: file of the known host keys, in place of the user's and the system's.
        config: in place of the user's ssh configuration.
    """

    host: str
    port: int | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    config: Path | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s:/-][^\s:/]*", self.host):
            raise ConfigError(f"host '{self.host}': give user@name, or a name of your ssh configuration")

    def run(self, script: str, *, log: Path, what: str, timeout: float) -> tuple[int, str]:
        """Run a bash script there, in the user's home: its exit code, and what it printed.

        All goes to `log`, too; `timeout` is in seconds. Raises `LinkError`, and `ToolMissingError` without
        ssh.
        """
        tools.find("ssh").require()
        command = f"bash -c {shlex.quote(script)} 2>&1; echo {shlex.quote(_ENDED)}$?"
        printed = self._call(["ssh", *self._options("-p"), self.host, command], log, what, timeout)
        text, _, code = printed.rpartition(_ENDED)
        found = re.match(r"\d+", code)
        if not found:
            raise UnreachableError(f"{self.host}: {what}: the connection was lost; run it again; see {log}")
        return int(found[0]), text

    def send(self, sources: Sequence[Path], target: str, *, log: Path, what: str) -> None:
        """Copy files, or whole folders, to `target` in the home there; raises as `run` does."""
        self._copy([*(str(source.resolve()) for source in sources), f"{self.host}:{target}"], log, what)

    def fetch(self, sources: Sequence[str], folder: Path, *, log: Path, what: str) -> None:
        """Copy files of the home there into a folder here; raises as `run` does."""
        self._copy([*(f"{self.host}:{source}" for source in sources), str(folder.resolve())], log, what)

    def _copy(self, paths: Sequence[str], log: Path, what: str) -> None:
        tools.find("scp").require()
        self._call(["scp", "-r", *self._options("-P"), *paths], log, what, COPY_SECONDS)

    def _options(self, port: str) -> list[str]:
        return [*_set((*_BATCH, *_PATIENCE)), *self._own(port)]

    def _own(self, port: str) -> list[str]:
        """The user's settings as options."""
        argv = ["-F", str(self.config.resolve())] if self.config else []
        argv += [port, str(self.port)] if self.port else []
        argv += ["-i", str(self.identity.resolve()), *_set(["IdentitiesOnly=yes"])] if self.identity else []
        if self.known_hosts:
            known = self.known_hosts.resolve()
            argv += _set([f'UserKnownHostsFile="{known}"', "GlobalKnownHostsFile=none"])
        return argv

    def _call(self, argv: Sequence[str], log: Path, what: str, timeout: float) -> str:
        """Run a program of OpenSSH; what it printed."""
        start = log.stat().st_size if log.exists() else 0
        try:
            tools.run(argv, cwd=log.parent, log=log, what=f"{self.host}: {what}", timeout=timeout)
        except ToolError as error:
            if isinstance(error.__cause__, subprocess.TimeoutExpired):
                raise SilentBoardError(
                    f"{self.host}: {what}: no end after {timeout:g} s; look at the board; see {log}"
                ) from error
            raise self._failure(_read(log, start), what, log) from error
        return _read(log, start)

    def _failure(self, printed: str, what: str, log: Path) -> LinkError:
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        last = lines[-1][:200] if lines else "ssh printed nothing"
        for pattern, kind, text in _FAILURES:
            if re.search(pattern, printed):
                message = text.format(login=shlex.join(["ssh", *self._own("-p"), self.host]), last=last)
                return kind(f"{self.host}: {message}; see {log}")
        return LinkError(f"{self.host}: {what}: {last}; see {log}")


def _set(options: Sequence[str]) -> list[str]:
    return [argument for option in options for argument in ("-o", option)]


def _read(log: Path, start: int) -> str:
    return log.read_bytes()[start:].decode(errors="replace")
