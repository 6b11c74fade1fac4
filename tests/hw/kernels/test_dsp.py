"""Products in DSP slices, simulated as ECP5's synthesis maps them."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hw import dataflow
from hw.boards.boards import find
from hw.core.verilog import to_verilog
from hw.kernels import specs
from hw.kernels.matrix_vector import MatrixVector
from hw.kernels.specs.products import DspPairs
from hw.simulation import netlist, verilator
from hw.tools.tools import run_yosys

BENCH = """
module bench(input clk);
  reg rst = 1, valid = 0, ready = 0;
  reg [{bits}-1:0] word = 0;
  wire ready_a, ready_b, valid_a, valid_b;
  wire [{o_bits}-1:0] sums_a, sums_b;
  reg [31:0] cycle = 0, taken = 0, wrong = 0;
  rtl a(.clk(clk), .rst(rst), .i__payload(word), .i__valid(valid), .i__ready(ready_a),
        .o__payload(sums_a), .o__valid(valid_a), .o__ready(ready));
  kernel b(.clk(clk), .rst(rst), .i__payload(word), .i__valid(valid), .i__ready(ready_b),
           .o__payload(sums_b), .o__valid(valid_b), .o__ready(ready));
  always @(posedge clk) begin
    cycle <= cycle + 1;
    rst <= cycle < 2;
    ready <= $random;
    if (ready_a || !valid) begin word <= {{$random, $random}}; valid <= $random; end
    if (cycle > 2 && (valid_a != valid_b || ready_a != ready_b || (valid_a && sums_a != sums_b)))
      wrong <= wrong + 1;
    if (valid_a && ready) taken <= taken + 1;
    if (cycle == 2000) $display("taken %0d wrong %0d", taken, wrong);
  end
endmodule
"""

DRIVE = """
#include "Vtop.h"
int main() {
    Vtop top;
    for (int edge = 0; edge < 2 * 2002; edge++) { top.clk = edge & 1; top.eval(); }
    return 0;
}
"""


@pytest.mark.parametrize(
    ("x_bits", "together", "slots"), [(4, 8, [(0, 1), (2, 3), (4,)]), (8, 4, [(0, 1), (2, 3), (4,)])]
)
def test_two_neurons_share_a_slice(x_bits, together, slots):
    products = DspPairs(
        dataflow.MatrixVector("matrix", np.arange(-7, 8).repeat(8).reshape(15, 8), x_bits, pe=5, simd=8)
    )
    assert (products.together, products.slots) == (together, slots)


def test_wide_weights_have_a_slice_each():
    products = DspPairs(dataflow.MatrixVector("matrix", np.array([[127, -127], [1, 2]]), 8, pe=2, simd=2))
    assert products.slots == [(0,), (1,)]


@pytest.mark.slow
def test_netlist_of_ecp5_equals_the_rtl(tmp_path: Path) -> None:
    weights = np.random.default_rng(4).integers(-7, 8, (4, 16))
    layer = dataflow.MatrixVector("matrix", weights, 8, pe=4, simd=8, multiply="dsp")
    kernel = MatrixVector(specs.MatrixVector(layer, replay=False))
    text = to_verilog(kernel, "kernel", None, tmp_path)
    (tmp_path / "rtl.v").write_text(re.sub(r"\bkernel(?=\W|_)", "rtl", text))
    script = ["read_verilog kernel.v", "synth_ecp5 -top kernel", "write_json top.json"]
    run_yosys(script, cwd=tmp_path, log=tmp_path / "log", products=[Path("top.json")])
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["kernel"]["cells"].values()
    assert sum(cell["type"] == "MULT18X18D" for cell in cells) == 2 * 8
    (tmp_path / "bench.v").write_text(BENCH.format(bits=8 * 8, o_bits=kernel.spec.outlet.bits))
    (tmp_path / "drive.cpp").write_text(DRIVE)
    model = netlist.netlist_model(find("ulx3s-85f"), tmp_path / "top.json", tmp_path, tmp_path / "log")
    simulator = verilator.build(
        [tmp_path / "bench.v", tmp_path / "rtl.v", *model.sources],
        top="bench",
        harness=tmp_path / "drive.cpp",
        work=tmp_path / "simulator",
        log=tmp_path / "log",
        verilog_defines=model.defines,
        optimize="-O0",
    )
    printed = subprocess.run([simulator], check=True, capture_output=True, text=True).stdout
    found = re.search(r"taken (\d+) wrong (\d+)", printed)
    assert found is not None and int(found[1]) > 100 and int(found[2]) == 0, printed
