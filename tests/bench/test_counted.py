import pytest

from common.errors import ToolError
from tests.bench.counted import Area, Design, area, synthesize

COUNTER = "module top(input clk, output reg [7:0] q = 0); always @(posedge clk) q <= q + 1; endmodule\n"


def test_cells_by_what_they_take():
    cells = {"LUT4": 5, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 7, "DP16KD": 1, "PFUMX": 9}
    assert area("ecp5", cells) == Area(lut=19, ff=7, ram=1, dsp=0)
    cells = {"LUT6": 2, "RAM32M": 1, "FDRE": 4, "FDSE": 1, "RAMB18E1": 1, "RAMB36E1": 1, "DSP48E1": 3}
    assert area("xc7", cells) == Area(lut=6, ff=5, ram=3, dsp=3)
    assert area("ice40", {"SB_LUT4": 2, "SB_DFFESR": 3, "SB_CARRY": 8}) == Area(lut=2, ff=3, ram=0, dsp=0)


def test_a_cell_of_unknown_cost_is_refused():
    with pytest.raises(ToolError, match="2 cells RAM256X1D, unknown for xc7"):
        area("xc7", {"LUT6": 1, "RAM256X1D": 2})


def test_what_was_counted_is_kept_by_content(tmp_path):
    design, kept = Design(["read_verilog top.v"], "top", None), tmp_path / "kept"
    counts = []
    for number, text in enumerate((COUNTER, COUNTER, COUNTER.replace("7:0", "3:0"))):
        work = tmp_path / str(number)
        work.mkdir()
        (work / "top.v").write_text(text)
        counts.append(synthesize("ice40", design, work, kept))
    assert [each.ff for each in counts] == [8, 8, 4]
    assert len(list(kept.glob("*.json"))) == 2
    assert not (tmp_path / "1" / "stat.json").exists()
