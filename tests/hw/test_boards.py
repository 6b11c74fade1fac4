import json
from pathlib import Path

import pytest

from hw import tools
from hw.boards import BOARDS, Board, find
from pipeline.errors import ConfigError

boards = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


@boards
def test_baud_rate_is_within_two_per_cent(board: Board) -> None:
    assert abs(board.clock_hz / board.clocks_per_bit / board.baud - 1) < 0.02
    assert board.clocks_per_bit >= 4


@boards
def test_platform_agrees(board: Board) -> None:
    platform = board.make_platform()
    assert platform.default_clk_frequency == board.clock_hz
    assert platform.package.lower() == {"CABGA381": "bg381", "CSFBGA285": "mg285"}.get(
        board.package, board.package
    )


def test_find() -> None:
    assert find("icebreaker").device == "up5k"
    with pytest.raises(ConfigError, match="unknown board 'arty': the boards are icebreaker, hx8k, "):
        find("arty")


@pytest.mark.slow
@boards
def test_resources_are_as_nextpnr_reports(board: Board, tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(
        "module top(input clk, output reg q = 0); always @(posedge clk) q <= ~q; endmodule\n"
    )
    log = tmp_path / "log"
    script = ["read_verilog top.v", f"synth_{board.family} -top top -json top.json"]
    tools.run_yosys(script, cwd=tmp_path, log=log, products=[Path("top.json")])
    argv = tools.command(f"nextpnr-{board.family}")
    argv += [f"--{board.device}", "--package", board.package, "--json", "top.json", "--report", "report.json"]
    if board.family == "ecp5":
        argv += ["--speed", board.speed, "--lpf-allow-unconstrained"]
    tools.run(argv, cwd=tmp_path, log=log, what="nextpnr", products=[Path("report.json")])
    report = json.loads((tmp_path / "report.json").read_text())["utilization"]
    for name, count in board.resources.items():
        available = report[name]["available"]
        assert count < available if name == "TRELLIS_IO" else count == available
