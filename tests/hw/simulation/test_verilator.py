import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common.errors import ToolError
from hw.simulation import verilator
from hw.tools import tools

COUNTER = """
module top(input clk, input [7:0] step, output reg [7:0] sum);
  initial sum = `START;
  always @(posedge clk) sum <= sum + step;
endmodule
"""

HARNESS = """
#include <cstdio>
#include "Vtop.h"
int main() {
    Vtop top;
    top.step = 3;
    for (int i = 0; i < CYCLES; ++i) top.clk = 0, top.eval(), top.clk = 1, top.eval();
    std::printf("%d", top.sum);
}
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.slow
def test_build(tmp_path: Path) -> None:
    executable = verilator.build(
        [write(tmp_path / "top.v", COUNTER)],
        top="top",
        harness=write(tmp_path / "main.cpp", HARNESS),
        work=tmp_path / "work",
        log=tmp_path / "log",
        defines={"CYCLES": "5"},
        verilog_defines={"START": "100"},
        lint=True,
    )
    assert subprocess.run([executable], capture_output=True, check=True).stdout == b"115"


@pytest.mark.slow
def test_compiler_and_make_are_those_identified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the PATH and the environment have."""
    told = tmp_path / "told"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("g++", "make", "c++", "cc", "gcc", "clang++", "ccache", "gmake", "python", "python3"):
        real = f'exec {shutil.which(name)} "$@"' if name in ("g++", "make") else "exit 1"
        write(programs / name, f"#!/bin/sh\necho {name} >> {told}\n{real}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name, value in {
        "CXX": "c++",
        "CC": "cc",
        "LINK": "c++",
        "OBJCACHE": "ccache",
        "MAKE": "gmake",
    }.items():
        monkeypatch.setenv(name, value)
    verilator.build(
        [write(tmp_path / "top.v", COUNTER)],
        top="top",
        harness=write(tmp_path / "main.cpp", HARNESS),
        work=tmp_path / "work",
        log=tmp_path / "log",
        defines={"CYCLES": "5"},
        verilog_defines={"START": "100"},
    )
    assert set(told.read_text().split()) == {"g++", "make"}
    for name in ("g++", "make"):
        digest = hashlib.sha256((programs / name).read_bytes()).hexdigest()
        assert tools.find(name).require().digest == digest


def test_broken_verilog(tmp_path: Path) -> None:
    source = write(tmp_path / "top.v", "module top(input clk; endmodule\n")
    with pytest.raises(ToolError, match=r"verilator, linting top: exit code 1: %Error: .*top.v"):
        verilator.lint([source], top="top", work=tmp_path, log=tmp_path / "log")


def test_lint(tmp_path: Path) -> None:
    good = write(tmp_path / "good.v", COUNTER)
    log = tmp_path / "log"
    verilator.lint([good], top="top", work=tmp_path, log=log, verilog_defines={"START": "0"})
    latch = "module top(input a, input b, output reg c); always @* if (a) c = b; endmodule\n"
    with pytest.raises(ToolError, match="LATCH"):
        verilator.lint([write(tmp_path / "latch.v", latch)], top="top", work=tmp_path, log=log)


@pytest.mark.slow
def test_verilators_own_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def built(name: str) -> tuple[bytes, str]:
        made = verilator.build(
            [write(tmp_path / "top.v", COUNTER)],
            top="top",
            harness=write(tmp_path / "main.cpp", HARNESS),
            work=tmp_path / name,
            log=tmp_path / f"{name}.log",
            defines={"CYCLES": "5"},
            verilog_defines={"START": "100"},
        )
        return subprocess.run([made], capture_output=True, check=True).stdout, (
            tmp_path / f"{name}.log"
        ).read_text()

    first, second = built("first"), built("second")
    assert first[0] == second[0] == b"115"
    assert "-o verilated.o" in first[1] and "-o verilated.o" not in second[1]
    for path in (tmp_path / "cache").rglob("verilated*.o"):
        path.write_bytes(path.read_bytes()[:-1])
    damaged = built("damaged")
    assert damaged[0] == b"115" and "-o verilated.o" in damaged[1]
