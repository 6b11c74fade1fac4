"""`retort doctor`, `retort boards`: what this machine and this Retort have."""

from dataclasses import asdict, dataclass, fields

import typer

from common.errors import ToolError, ToolMissingError
from hw.boards.board import Board
from hw.boards.boards import BOARDS
from hw.tools import tools
from hw.tools.kinds import Tool
from pipeline.cli.app import AsJson, print_json, print_table


@dataclass(frozen=True)
class _ToolRow:
    name: str
    version: str | None
    purpose: str
    needed_by: tuple[str, ...]
    optional: bool
    hint: str


def doctor(as_json: AsJson = False) -> None:
    """Look for the tools; exit code 4 if a needed one is missing."""
    found = [_tool_row(tool) for tool in tools.every()]
    missing = [each for each in found if each.version is None and not each.optional]
    if as_json:
        print_json({"ok": not missing, "tools": [asdict(each) for each in found]})
    else:
        print_table([_row(each) for each in found])
    if missing:
        names = ", ".join(each.name for each in missing)
        raise ToolMissingError(f"not on this machine: {names}; the lines above say how to get them")


def boards(as_json: AsJson = False) -> None:
    """List the boards and what a design may use of them."""
    if as_json:
        print_json([_described(board) for board in BOARDS.values()])
        return
    opened = [board for board in BOARDS.values() if board.finn_board is None]
    print_table([_BUDGET_COLUMNS, *map(_budget_row, opened)])
    typer.echo("")
    for board in opened:
        pins = ", ".join(f"{count} on {name}" for name, count in board.budget.connectors.items())
        typer.echo(f"{board.name}: {board.title}; pins: {pins}")
    typer.echo("\nWith FINN's own hardware and Vivado:\n")
    finns = [board for board in BOARDS.values() if board.finn_board]
    print_table([_FINN_COLUMNS, *map(_finn_row, finns)])
    typer.echo("")
    for board in finns:
        typer.echo(f"{board.name}: {board.title}; shell: {board.finn.shell}")


_BUDGET_COLUMNS = (
    "board",
    "chip",
    "clock",
    "pins",
    "stream",
    "LUTs, cells",
    "flip-flops",
    "BRAM",
    "SPRAM",
    "DSPs",
)


def _budget_row(board: Board) -> tuple[str, ...]:
    budget = board.budget
    return (
        board.name,
        f"{board.family.name} {board.device}",
        f"{budget.clock_hz / 1e6:g} MHz",
        str(budget.io_pins),
        f"{budget.stream_bits} bits",
        str(budget.luts),
        "in cells" if budget.shared_cells else str(budget.flip_flops),
        f"{budget.block_ram_bits // 1024} kbit",
        f"{budget.single_port_ram_bits // 1024} kbit",
        str(budget.dsps),
    )


_FINN_COLUMNS = ("board", "part", "clock", "stream", "LUTs", "flip-flops", "BRAM36", "URAM", "DSPs")


def _finn_row(board: Board) -> tuple[str, ...]:
    budget = board.budget
    return (
        board.name,
        board.device,
        f"{budget.clock_hz / 1e6:g} MHz",
        f"{budget.stream_bits} bits",
        str(budget.luts),
        str(budget.flip_flops),
        str(budget.block_rams),
        str(budget.ultra_rams),
        str(budget.dsps),
    )


def _described(board: Board) -> dict[str, object]:
    budget = asdict(board.budget) | {"block_ram_bits": board.budget.block_ram_bits}
    own = {each.name: getattr(board, each.name) for each in fields(board)}
    finn = asdict(board.finn_board) if board.finn_board else None
    return own | {"family": board.family.name, "finn_board": finn, "budget": budget}


def _tool_row(tool: Tool) -> _ToolRow:
    hint, version = tool.hint, None
    try:
        found = tool.locate()
        version = found.version if found else None
    except ToolError as error:
        hint = str(error)
    return _ToolRow(tool.name, version, tool.purpose, tool.needed_by, tool.optional, hint)


def _row(tool: _ToolRow) -> tuple[str, str, str]:
    about = f"{tool.purpose} ({', '.join(tool.needed_by)})"
    if tool.version is None:
        kind = "optional, missing" if tool.optional else "MISSING"
        return tool.name, kind, f"{about}: {tool.hint}"
    return tool.name, tool.version, about
