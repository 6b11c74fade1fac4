import json
from pathlib import Path

import pytest

from common.errors import ConfigError
from hw.boards.board import Board
from hw.boards.boards import find
from hw.tools import tools
from tests.hw.conftest import OPEN_BOARDS

boards = pytest.mark.parametrize("board", OPEN_BOARDS, ids=lambda board: board.name)


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


def test_refused() -> None:
    with pytest.raises(ConfigError, match=r"'tang-nano-9k' is not supported: .* hold violations, .*; take"):
        find("tang-nano-9k")


@pytest.mark.parametrize(
    ("name", "pins", "block_ram", "single_port_ram"),
    [
        ("icebreaker", {"pmod_0": 8, "pmod_1": 8, "pmod_2": 8}, 120, 1024),
        ("hx8k", {"j_1": 14, "j_2": 27, "j_3": 29, "j_4": 26}, 128, 0),
        ("ulx3s-85f", {"gpio_0": 50}, 3744, 0),
        ("orangecrab", {"io_0": 19}, 1008, 0),
    ],
)
def test_budget(name: str, pins: dict[str, int], block_ram: int, single_port_ram: int) -> None:
    """Memory in kbit as on the first page of each data sheet."""
    budget = find(name).budget
    assert budget.connectors == pins and budget.io_pins == sum(pins.values())
    assert budget.stream_bits == budget.io_pins - 7
    assert budget.block_ram_bits == block_ram * 1024
    assert budget.single_port_ram_bits == single_port_ram * 1024
    assert all(budget.block_ram.bits * 8 // 9 <= depth * width for depth, width in budget.block_ram.shapes)
    assert all(depth * width <= budget.block_ram.bits for depth, width in budget.block_ram.shapes)


@boards
def test_users_pins_are_on_the_package_and_nobody_elses(board: Board) -> None:
    platform = board.make_platform()
    pins = [pin.package_pin for pin in board.user_pins()]
    assert len(set(pins)) == len(pins)
    connectors = [connector.mapping for connector in platform.connectors.values()]
    for pin in board.user_pins():
        assert pin.package_pin in {mapping.get(pin.position) for mapping in connectors}
    used = {"clock": platform.lookup(platform.default_clk).ios[0].names}
    if board.uart_pins is None:
        used["serial"] = [name for wire in platform.lookup("uart").ios for name in wire.ios[0].names]
    for names in used.values():
        assert not set(names) & set(pins)


@boards
def test_pll_reaches_the_clocks_between_its_limits(board: Board) -> None:
    pll = board.family.pll
    assert pll

    def within(value: float, limits: tuple[float, float]) -> bool:
        return limits[0] <= value <= limits[1]

    reached = {
        phase * feedback / divider
        for phase in (board.clock_hz / reference for reference in range(1, pll.reference + 1))
        for feedback in range(1, pll.feedback + 1)
        for divider in pll.dividers
        if within(phase, pll.phase_hz) and within(phase * feedback, pll.vco_hz)
    }
    assert within(board.clock_hz, pll.input_hz) and f"{pll.cell}".isupper()
    for wanted in (30e6, 60e6, 100e6):
        assert within(wanted, pll.output_hz)
        assert min(abs(each / wanted - 1) for each in reached) < 0.1


@pytest.mark.slow
@boards
def test_resources_are_as_nextpnr_reports(board: Board, tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(
        "module top(input clk, output reg q = 0); always @(posedge clk) q <= ~q; endmodule\n"
    )
    log = tmp_path / "log"
    script = ["read_verilog top.v", f"{board.toolchain.synthesis.format(top='top')} -json top.json"]
    tools.run_yosys(script, cwd=tmp_path, log=log, products=[Path("top.json")])
    argv = board.toolchain.nextpnr()
    argv += [f"--{board.device}", "--package", board.package, "--json", "top.json", "--report", "report.json"]
    if board.speed:
        argv += ["--speed", board.speed, "--lpf-allow-unconstrained"]
    tools.run(argv, cwd=tmp_path, log=log, what="nextpnr", products=[Path("report.json")])
    report = json.loads((tmp_path / "report.json").read_text())["utilization"]
    for name, count in board.resources.items():
        available = report[name]["available"]
        assert count < available if name == "TRELLIS_IO" else count == available
