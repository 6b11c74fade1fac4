"""Kernels with RAM as netlists of cells, whose block RAMs give nothing usable where reads and writes collide.

The kernels tell Yosys that they need no old value then (`no_rw_check`); this is where that has to be true.
"""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth.lib import wiring

from hw import dataflow
from hw.core.module import kernel_of as kernel_of_spec
from hw.core.verilog import to_verilog
from hw.kernels import specs
from hw.kernels.specs.base import ValueType
from hw.tools.tools import run_yosys
from tests.hw.kernels.test_window import expected_words, kernel_of

READ = "RDATA_I <= memory[RADDR[7:0]] & ~RMASK_I;"
READ_OR_LOST = "RDATA_I <= WE && WCLKE && WADDR[7:0] == RADDR[7:0] ? 16'bx : memory[RADDR[7:0]] & ~RMASK_I;"
BENCH = """
module bench;
  reg clk = 0, rst = 1, offering = 0, ready = 0;
  reg [{i_bits}-1:0] words [0:{i_words}-1];
  integer taken = 0, given = 0, quiet = 0, seed = 1;
  wire i_ready, valid;
  wire [{o_bits}-1:0] payload;
  kernel kernel(.clk(clk), .rst(rst), .i__payload(words[taken]), .i__valid(offering), .i__ready(i_ready),
                .o__payload(payload), .o__valid(valid), .o__ready(ready));
  initial $readmemb("words.txt", words);
  always #5 clk = ~clk;
  always @(negedge clk) begin
    if (quiet > 2) rst = 0;
    if (!rst && !offering && taken < {i_words}) offering = $unsigned($random(seed)) % 100 >= {stall};
    ready = !rst && $unsigned($random(seed)) % 100 >= {stall};
  end
  always @(negedge clk) #4 begin
    quiet = quiet + 1;
    if (valid && ready) begin
      $display("%b", payload);
      given = given + 1;
      quiet = 3;
    end
    if (offering && i_ready) begin
      #2 offering = 0;
      taken = taken + 1;
      quiet = 3;
    end
    if (given == {o_words} || quiet == 1000) $finish;
  end
endmodule
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = importlib.util.find_spec("pyosys").origin
    text = (Path(package).parent / "share" / "ice40" / "cells_sim.v").read_text()
    assert text.count(READ) == 1
    path = tmp_path_factory.mktemp("cells") / "cells.v"
    path.write_text(text.replace(READ, READ_OR_LOST))
    return path


def packed(words: np.ndarray, bits: int) -> list[str]:
    """Words of lanes as binary numbers, lane 0 in the lowest bits."""
    return ["".join(f"{value:0{bits}b}" for value in word[::-1]) for word in words]


def stream(kernel: wiring.Component, words: np.ndarray, o_words: int, cells: Path, work: Path, stall: int):
    """What the netlist gives, as binary numbers with x for what is not known."""
    bits = [len(port.payload.as_value()) for port in (kernel.i, kernel.o)]
    (work / "words.txt").write_text("\n".join(packed(words, bits[0] // words.shape[1])))
    bench = BENCH.format(i_bits=bits[0], o_bits=bits[1], i_words=len(words), o_words=o_words, stall=stall)
    (work / "bench.v").write_text(bench)
    (work / "kernel.v").write_text(to_verilog(kernel, "kernel", None, work / "amaranth"))
    script = ["read_verilog kernel.v", "synth_ice40 -top kernel", "write_verilog -noattr netlist.v"]
    run_yosys(script, cwd=work, log=work / "log", products=[Path("netlist.v")])
    assert "SB_RAM40_4K" in (work / "netlist.v").read_text()
    argv = ["iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-s", "bench", "-o", "bench"]
    subprocess.run([*argv, "bench.v", "netlist.v", str(cells)], cwd=work, check=True)
    return subprocess.run(["vvp", "bench"], cwd=work, capture_output=True, text=True, check=True).stdout


WINDOWS = [
    dataflow.Window("picture", (6, 6, 2), (3, 3), 2, padding=(1, 1, 1, 1), repeats=2, pad_value=1),
    dataflow.Window("columns", (6, 9, 4), (3, 3), 2, padding=(1, 1, 1, 1), rows=3),
    dataflow.Window("pool", (6, 6, 4), (2, 2), 2, (2, 2), depthwise=True),
]


@pytest.mark.slow
@pytest.mark.parametrize("stall", [0, 40])
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_window(window, stall, cells, tmp_path):
    x = np.random.default_rng(1).integers(0, 2**8, (3, window.i_elements))
    expected = expected_words(window, x)
    words = x.reshape(-1, window.lanes)
    printed = stream(kernel_of(window, 8), words, len(expected), cells, tmp_path, stall)
    assert printed.split() == packed(expected, 8)


POOLS = [
    specs.MaxPool(dataflow.MaxPool("max pool", (7, 9, 2), (2, 2), 2), ValueType(8)),
    specs.MaxPool(dataflow.MaxPool("max pool of groups", (4, 6, 16), (2, 3), 2), ValueType(8)),
    specs.GlobalSum(dataflow.GlobalSum("sum", 9, 32, 8, 2), ValueType(8)),
]


@pytest.mark.slow
@pytest.mark.parametrize("stall", [0, 40])
@pytest.mark.parametrize("spec", POOLS, ids=lambda spec: spec.layer.name)
def test_partial_results(spec, stall, cells, tmp_path):
    layer, kernel = spec.layer, kernel_of_spec(spec)
    x = np.random.default_rng(1).integers(0, 2**8, (3, layer.i_elements))
    expected = layer.execute(x).reshape(-1, layer.o_lanes)
    printed = stream(kernel, x.reshape(-1, layer.i_lanes), len(expected), cells, tmp_path, stall)
    assert printed.split() == packed(expected, kernel.spec.value.width)
