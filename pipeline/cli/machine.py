"""`retort doctor`, `retort boards`, `retort methods`: what this machine and this Retort have."""

from dataclasses import asdict, dataclass
from typing import get_args

from hw import tools
from hw.boards import BOARDS
from pipeline.cli.app import AsJson, print_json, print_table
from pipeline.config import HardLabels, LogitMatching, SoftenedSoftmax
from pipeline.errors import ToolError, ToolMissingError


@dataclass(frozen=True)
class _Finding:
    name: str
    version: str | None
    purpose: str
    needed_by: tuple[str, ...]
    optional: bool
    hint: str


def doctor(as_json: AsJson = False) -> None:
    """Look for the tools; exit code 4 if a needed one is missing."""
    findings = [_finding(tool) for tool in tools.TOOLS]
    missing = [each for each in findings if each.version is None and not each.optional]
    if as_json:
        print_json({"ok": not missing, "tools": [asdict(each) for each in findings]})
    else:
        print_table([_row(each) for each in findings])
    if missing:
        names = ", ".join(each.name for each in missing)
        raise ToolMissingError(f"not on this machine: {names}; the lines above say how to get them")


def boards(as_json: AsJson = False) -> None:
    """List the boards."""
    if as_json:
        print_json([asdict(board) for board in BOARDS])
        return
    rows = [(board.name, board.family, f"{board.clock_hz / 1e6:g} MHz", board.title) for board in BOARDS]
    print_table(rows)


def methods(as_json: AsJson = False) -> None:
    """List the distillation methods and their parameters."""
    rows = []
    for model in (SoftenedSoftmax, LogitMatching, HardLabels):
        (name,) = get_args(model.model_fields["method"].annotation)
        parameters = [field for field in model.model_fields if field != "method"]
        rows.append((name, ", ".join(parameters), model.__doc__ or ""))
    if as_json:
        print_json(
            [{"method": name, "parameters": keys.split(", "), "about": doc} for name, keys, doc in rows]
        )
    else:
        print_table(rows)


def _finding(tool: tools.Tool) -> _Finding:
    hint, version = tool.hint, None
    try:
        found = tool.locate()
        version = found.version if found else None
    except ToolError as error:
        hint = str(error)
    return _Finding(tool.name, version, tool.purpose, tool.needed_by, tool.optional, hint)


def _row(finding: _Finding) -> tuple[str, str, str]:
    about = f"{finding.purpose} ({', '.join(finding.needed_by)})"
    if finding.version is None:
        kind = "optional, missing" if finding.optional else "MISSING"
        return finding.name, kind, f"{about}: {finding.hint}"
    return finding.name, finding.version, about
