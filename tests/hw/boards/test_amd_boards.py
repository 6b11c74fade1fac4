import pytest
from finn.util.basic import alveo_part_map, pynq_native_port_width, pynq_part_map
from finn.util.platforms import platforms

from common.errors import ConfigError
from hw.boards.amd import AMD_BOARDS, BLOCK_RAM, AmdBoard
from hw.boards.boards import find, find_amd, find_open

boards = pytest.mark.parametrize("board", AMD_BOARDS, ids=lambda board: board.name)


@boards
def test_part_and_port_are_finns(board: AmdBoard) -> None:
    parts = {"zynq": pynq_part_map, "alveo": alveo_part_map}[board.finn_shell]
    assert parts[board.finn_board] == board.part
    assert pynq_native_port_width.get(board.finn_board, 512) == board.stream_bits
    assert (board.architecture == "7-series") == board.part.startswith("xc7")


@pytest.mark.parametrize("board", [each for each in AMD_BOARDS if each.finn_board in platforms])
def test_budget_agrees_with_finns_platform(board: AmdBoard) -> None:
    """FINN's figures are rounded ones, of the whole chip."""
    regions = platforms[board.finn_board]().compute_resources
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
    assert find_amd(name).budget.block_ram_bits == block_ram_kbit * 1024
    assert find_amd(name).budget.ultra_rams == ultra_rams
    assert all(depth * width in (32768, BLOCK_RAM.bits) for depth, width in BLOCK_RAM.shapes)


def test_find() -> None:
    assert find("kv260") is find_amd("kv260")
    with pytest.raises(ConfigError, match=r"'kv260' has an AMD chip, for which only Vivado .* icebreaker, "):
        find_open("kv260")
    with pytest.raises(ConfigError, match=r"'hx8k' has no AMD chip, .*; take pynq-z1, "):
        find_amd("hx8k")
    with pytest.raises(ConfigError, match=r"unknown board 'arty': .*icebreaker.*u250"):
        find("arty")
