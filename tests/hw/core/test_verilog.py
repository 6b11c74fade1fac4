import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Instance, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.core.verilog import rtlil_to_verilog, to_verilog
from hw.simulation import verilator
from hw.tools import tools


class Scale(wiring.Component):
    def __init__(self) -> None:
        layout = data.StructLayout({"a": 4, "b": 4})
        super().__init__({"input": In(stream.Signature(layout)), "output": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.lookup = lookup = Memory(
            shape=8, depth=16, init=range(3, 19), attrs={"ram_style": "block"}
        )
        port = lookup.read_port()
        m.d.comb += [
            port.addr.eq(self.input.payload.a),
            self.output.payload.eq(port.data * self.input.payload.b),
            self.input.ready.eq(1),
        ]
        m.d.sync += self.output.valid.eq(self.input.valid)
        return m


class Pair(wiring.Component):
    """Two of the same kind, one below the other in the hierarchy, and a cell from elsewhere."""

    def __init__(self) -> None:
        layout = data.StructLayout({"a": 4, "b": 4})
        super().__init__({"input": In(stream.Signature(layout)), "output": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.first = first = Scale()
        m.submodules.second = second = Scale()
        wiring.connect(m, wiring.flipped(self.input), first.input)
        m.d.comb += second.input.payload.as_value().eq(first.output.payload)
        m.d.comb += [second.input.valid.eq(first.output.valid), first.output.ready.eq(1)]
        wiring.connect(m, second.output, wiring.flipped(self.output))
        m.submodules.other = Instance("elsewhere", i_x=self.input.valid, o_y=Signal())
        return m


ELSEWHERE = "module elsewhere(input x, output y); assign y = x; endmodule\n"


@pytest.fixture
def verilog(tmp_path: Path) -> str:
    return to_verilog(Pair(), "pair", None, tmp_path / "emit")


def test_same_text_anywhere(verilog: str, tmp_path: Path) -> None:
    assert to_verilog(Pair(), "pair", None, tmp_path / "elsewhere") == verilog
    assert not re.search(r"Yosys|src =|/work|/tmp|\.py", verilog)


def test_plain_names_and_hierarchy(verilog: str) -> None:
    assert "\\" not in verilog
    modules = set(re.findall(r"^module (\w+)\(", verilog, re.MULTILINE))
    assert modules >= {"pair", "pair_first", "pair_second"}
    assert "elsewhere" not in modules
    assert "ram_style" in verilog


def test_colliding_names_stay_apart(tmp_path: Path) -> None:
    module = "module \\a{}b\n  wire input 1 \\x\n  wire output 2 \\y\n  connect \\y {}\nend\n"
    ports = "  wire input 1 \\i\n  wire output 2 \\o\n  wire output 3 \\p\n"
    one = "  cell \\a.b \\one\n    connect \\x \\i\n    connect \\y \\o\n  end\n"
    two = "  cell \\a_b \\two\n    connect \\x \\i\n    connect \\y \\p\n  end\n"
    top = f"module \\top\n{ports}{one}{two}end\n"
    text = module.format(".", "1'0") + module.format("_", "1'1") + top
    verilog = rtlil_to_verilog(text, "top", tmp_path)
    assert set(re.findall(r"^module (\w+)\(", verilog, re.MULTILINE)) == {"a_b", "a_b_1", "top"}
    assert re.search(r"a_b_1 one", verilog) and re.search(r"a_b two", verilog)


def test_tools_read_it_back(verilog: str, tmp_path: Path) -> None:
    (tmp_path / "all.v").write_text(verilog + ELSEWHERE)
    log = tmp_path / "log"
    verilator.lint([tmp_path / "all.v"], top="pair", work=tmp_path, log=log)
    script = ["read_verilog all.v", "synth_ice40 -top pair -json pair.json"]
    tools.run_yosys(script, cwd=tmp_path, log=log, products=[Path("pair.json")])
    assert "Warning" not in re.sub(r"(ABC|Lexer).*", "", log.read_text())


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not on this machine")
def test_icarus_runs_it(verilog: str, tmp_path: Path) -> None:
    bench = """
module bench;
  reg clk = 0; reg rst = 0; reg [7:0] in = 8'h52; wire [7:0] out;
  pair dut(.clk(clk), .rst(rst), .input__payload(in), .input__valid(1'b1), .output__ready(1'b1),
           .output__payload(out));
  initial begin repeat (6) begin #1 clk = 1; #1 clk = 0; end $display("%0d", out); end
endmodule
"""
    (tmp_path / "all.v").write_text(verilog + ELSEWHERE + bench)
    subprocess.run(["iverilog", "-g2005", "-o", "sim", "all.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "sim"], cwd=tmp_path, capture_output=True, check=True, text=True)
    middle = (3 + 2) * 5  # a = 2, b = 5
    assert int(done.stdout) == (3 + middle % 16) * (middle // 16) % 256
