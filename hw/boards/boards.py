"""The boards that Retort builds for, and the families of their chips."""

from collections.abc import Mapping

from common.errors import ConfigError
from hw.boards.board import Board
from hw.boards.families import amd, ecp5, ice40
from hw.boards.families.base import ChipFamily

_FAMILIES = (ice40, ecp5, amd)

FAMILIES: dict[str, ChipFamily] = {each.FAMILY.name: each.FAMILY for each in _FAMILIES}
BOARDS: dict[str, Board] = {board.name: board for each in _FAMILIES for board in each.BOARDS}

REFUSED: Mapping[str, str] = {
    "tang-nano-9k": "open place and route for its Gowin chip ends with hold violations, and its bitstream "
    "cannot be simulated"
}
"""Boards that are asked for, and why there is no proven way to them."""


def find(name: str) -> Board:
    """The board of that name; raises `ConfigError` that lists the known ones, or says why it is refused."""
    if name in BOARDS:
        return BOARDS[name]
    if name in REFUSED:
        raise ConfigError(f"board '{name}' is not supported: {REFUSED[name]}; take another board")
    raise ConfigError(f"unknown board '{name}': the boards are {', '.join(BOARDS)}")
