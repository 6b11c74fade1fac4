"""Kinds of outside tools: a Python wheel, a command on the PATH, a variable of the environment.

A tool's identity (name, version, digest) is part of the store's keys: other tools make another build.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.tools.processes import kill_group, start

PIP = "pip install -r requirements.lock"
OSS_CAD_SUITE = "YosysHQ's OSS CAD Suite"
WITH_PROGRAMMER = "or load the bitstream with another programmer"
"""Hints, of how to get a tool."""


@dataclass(frozen=True)
class ToolIdentity:
    """Name and version of a tool, and a SHA-256 of the files that run."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Tool:
    """An outside tool, what it is for, which stages need it, and how to get it."""

    name: str
    purpose: str
    needed_by: tuple[str, ...]
    hint: str
    optional: bool = False

    def locate(self) -> ToolIdentity | None:
        """The tool's identity, or None where it is not on this machine."""
        raise NotImplementedError

    def require(self) -> ToolIdentity:
        """The tool's identity; raises `ToolMissingError` with the hint where it is not here."""
        identity = self.locate()
        if identity is None:
            raise self.missing()
        return identity

    def missing(self) -> ToolMissingError:
        """The error that the tool is not here, with the hint."""
        return ToolMissingError(f"{self.name} ({self.purpose}) is not on this machine: {self.hint}")


@dataclass(frozen=True)
class WheelTool(Tool):
    """A tool from a Python distribution named `name`, identified without importing it."""

    def locate(self) -> ToolIdentity | None:
        """Version and digest of the wheel's recorded files."""
        return _wheel_identity(self.name)

    def folder(self) -> Path:
        """Where the identified distribution's packages are; raises `ToolMissingError`."""
        try:
            return Path(str(metadata.distribution(self.name).locate_file("")))
        except metadata.PackageNotFoundError as error:
            raise self.missing() from error

    def code(self, code: str) -> list[str]:
        """Start of the argument list that runs Python code with the identified packages.

        Raises `ToolMissingError`.
        """
        first = f"import sys; sys.path.insert(0, {str(self.folder())!r}); "
        return [sys.executable, "-P", "-c", first + code]

    def program(self, name: str) -> list[str]:
        """Start of the argument list that runs a program of a YoWASP wheel; raises `ToolMissingError`."""
        module, function = self.name.replace("-", "_"), name.replace("-", "_")
        return self.code(f"import {module} as m; sys.exit(m.run_{function}(sys.argv[1:]))")


@dataclass(frozen=True)
class CommandTool(Tool):
    """A command on the PATH, by name or alias; without `version_arguments` its version is its digest."""

    version_arguments: tuple[str, ...] = ("--version",)
    aliases: tuple[str, ...] = ()

    def locate(self) -> ToolIdentity | None:
        """First line that the command prints about its version, and digest of the file."""
        path = self._path()
        return None if path is None else _command_identity(self.name, path, self.version_arguments)

    def executable(self) -> Path:
        """The file that `locate` identifies, which is the one to run; raises `ToolMissingError`."""
        path = self._path()
        if path is None:
            raise self.missing()
        return path

    def _path(self) -> Path | None:
        path = next(filter(None, map(shutil.which, (self.name, *self.aliases))), None)
        return None if path is None else Path(path)


@dataclass(frozen=True)
class VariableTool(Tool):
    """What a tool finds by a variable of the environment: the first that is set of `variables`."""

    variables: tuple[str, ...] = ()

    def locate(self) -> ToolIdentity | None:
        """The variable and its value."""
        for variable in self.variables:
            if value := os.environ.get(variable):
                digest = hashlib.sha256(value.encode()).hexdigest()
                return ToolIdentity(self.name, f"{variable}={value}", digest)
        return None


@cache
def _wheel_identity(name: str) -> ToolIdentity | None:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    record = distribution.read_text("RECORD") or ""
    # Only the wheel's own files: launchers (below ../) hold the venv's path, *.dist-info the installer.
    lines = sorted(line for line in record.splitlines() if _is_payload(line))
    text = "\n".join([name, distribution.version, *lines])
    return ToolIdentity(name, distribution.version, hashlib.sha256(text.encode()).hexdigest())


def _is_payload(record_line: str) -> bool:
    path, digest, _ = record_line.rsplit(",", 2) if record_line.count(",") >= 2 else ("", "", "")
    path = path.strip('"')
    top = path.split("/", 1)[0]
    return bool(digest) and not path.endswith(".pyc") and top != ".." and not top.endswith(".dist-info")


def _command_identity(name: str, path: Path, version_arguments: tuple[str, ...]) -> ToolIdentity:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ToolError(f"{path}: cannot be read ({error.strerror}); reinstall {name}") from error
    if not version_arguments:
        return ToolIdentity(name, f"sha256 {digest[:12]}", digest)
    try:
        process = start([str(path), *version_arguments], stdout=subprocess.PIPE)
        try:
            printed, _ = process.communicate(timeout=20)
        finally:
            kill_group(process)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{path}: does not print its version ({error}); reinstall {name}") from error
    lines = printed.decode(errors="replace").strip().splitlines()
    return ToolIdentity(name, lines[0] if lines else f"sha256 {digest[:12]}", digest)
