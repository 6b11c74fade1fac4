import pytest
from finn.util.basic import alveo_part_map, pynq_native_port_width, pynq_part_map
from finn.util.platforms import platforms

from common.errors import ConfigError
from hw.boards.board import Board
from hw.boards.boards import BOARDS, find

FINN_BOARDS = [board for board in BOARDS.values() if board.finn_board]

boards = pytest.mark.parametrize("board", FINN_BOARDS, ids=lambda board: board.name)


@boards
def test_part_and_port_are_finns(board: Board) -> None:
    parts = {"zynq": pynq_part_map, "alveo": alveo_part_map}[board.finn.shell]
    assert parts[board.finn.name] == board.device
    assert pynq_native_port_width.get(board.finn.name, 512) == board.finn.stream_bits
    assert (board.finn.architecture == "7-series") == board.device.startswith("xc7")


@pytest.mark.parametrize("board", [each for each in FINN_BOARDS if each.finn.name in platforms])
def test_budget_agrees_with_finns_platform(board: Board) -> None:
    """FINN's figures are rounded ones, of the whole chip."""
    regions = platforms[board.finn.name]().compute_resources
    luts, flip_flops, halves, ultra, dsps = (sum(column) for column in zip(*regions, strict=True))
    budget = board.budget
    assert 0.9 * luts < budget.luts < 1.01 * luts
    assert 0.9 * flip_flops < budget.flip_flops < 1.01 * flip_flops
    assert 0.85 * halves / 2 < budget.block_rams < 1.05 * halves / 2
    assert 0.95 * ultra <= budget.ultra_rams <= 1.05 * ultra
    assert 0.95 * dsps < budget.dsps <= dsps


@pytest.mark.parametrize(
    ("name", "block_ram_kbit", "ultra_rams"),
    [("pynq-z1", 5040, 0), ("ultra96-v2", 7776, 0), ("zcu104", 11232, 96), ("kv260", 5184, 64)],
)
def test_memory_is_that_of_the_data_sheets(name: str, block_ram_kbit: int, ultra_rams: int) -> None:
    """4.9, 7.6, 11.0 and 5.1 Mb on the first page of each."""
    assert find(name).budget.block_ram_bits == block_ram_kbit * 1024
    assert find(name).budget.ultra_rams == ultra_rams
    assert find(name).budget.memory_bits == block_ram_kbit * 1024 + ultra_rams * 288 * 1024
    block = find(name).budget.block_ram
    assert all(depth * width in (32768, block.bits) for depth, width in block.shapes)


def test_find() -> None:
    assert find("kv260").finn.shell == "zynq"
    assert find("hx8k").require_open() is find("hx8k")
    with pytest.raises(
        ConfigError, match=r"'kv260' has an AMD chip, for which only Vivado .*`retort boards`"
    ):
        find("kv260").require_open()
    with pytest.raises(ConfigError, match=r"'hx8k' has an iCE40 chip, and FINN no shell for it; take"):
        _ = find("hx8k").finn
    with pytest.raises(ConfigError, match=r"unknown board 'arty': .*icebreaker.*u250"):
        find("arty")
