"""A PYNQ board that is a folder on this machine, behind a real SSH server, and what can befall it."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.host.deployment import Target
from hw.tools.ssh import Remote
from tests import ssh_server

HERE = Path(__file__).parent
NEEDS_SSH = pytest.mark.skipif(ssh_server.unavailable() is not None, reason=str(ssh_server.unavailable()))

CUT = HERE / "virtual_pynq" / "cut.sh"
"""Cuts the session that it runs in."""


@contextlib.contextmanager
def virtual_board(
    folder: Path, *, fault: str = "", modules: tuple[str, ...] = ("virtual_pynq",)
) -> Iterator[Target]:
    """A board with Python and `modules`, which keeps its packages in `folder`."""
    python = Path(sys.executable).parent
    environment = {
        "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin",
        "SHLVL": "2",  # so that bash does not read the .bashrc of whoever runs the tests
        "VIRTUAL_FAULT": fault or "none",
    }
    if modules:
        environment["PYTHONPATH"] = ":".join(str(HERE / module) for module in modules)
    with ssh_server.serve(folder / "ssh", environment=environment) as server:
        remote = Remote(f"{server.user}@{server.host}", server.port, server.key, server.known_hosts)
        yield Target(remote, seconds=300.0, folder=str(folder / "board"))


@contextlib.contextmanager
def small_disk(folder, size):
    """A disk of its own, of so many KiB."""
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs root, who may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
