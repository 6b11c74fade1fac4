"""An image of the placed design: what nextpnr put where, coloured by part of the design."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from common.errors import ToolError
from hw.boards.families.base import Drawing
from hw.tools.tools import reading

TILE = 16  # drawing units of a tile
WIDTH = 520  # of the image
LINE = 18  # height of a line of text
MARGIN = 4
GREY = "#8a919c"
# fmt: off
PALETTE = ("#3b7dd8", "#e0792b", "#2f9e68", "#c2457e", "#8a63d2",
           "#c9a227", "#1f9fb5", "#d2504b", "#7a9a2e", "#9c6b4e")
# fmt: on
SHELL, BETWEEN, REST = "shell", "core, between layers", "smaller layers"
OTHER = "pins, clocks, constants, carry starts"

SPECIAL = "special"
ORDER = ("logic", "flip-flops", "RAM", "DSP", "I/O", SPECIAL)

_BEL = re.compile(r"X(\d{1,3})/Y(\d{1,3})/(\S+)")


@dataclass(frozen=True)
class Cell:
    """A placed cell: its part of the design, its kind, its tile, and the cell of the tile."""

    part: str
    kind: str
    x: int
    y: int
    bel: str


@dataclass(frozen=True)
class Box:
    """A rectangle in drawing units."""

    x: int
    y: int
    width: int
    height: int


def draw(nextpnr_json: Path, drawing: Drawing) -> str:
    """SVG of a design placed by nextpnr, from the JSON file that its `--write` gave.

    Raises `ToolError` where the file is not one.
    """
    device, chip, cells = _read(nextpnr_json, drawing.kinds)
    columns = max([*(cell.x + 1 for cell in cells), drawing.grids.get(chip, (0, 0))[0]])
    rows = max([*(cell.y + 1 for cell in cells), drawing.grids.get(chip, (0, 0))[1]])
    boxes = _boxes(cells, drawing, rows)
    colours = _colours(cells)
    whole = Box(0, 0, columns * TILE, rows * TILE)
    logic = [box for cell, box in zip(cells, boxes, strict=True) if cell.kind not in ("I/O", SPECIAL)]
    shapes = _paths(colours, cells, boxes)
    return _svg(device, whole, _around(logic or boxes), shapes, _legend(colours, cells))


def part_of(name: str) -> str:
    """The part of the design that a cell belongs to, by its hierarchical name: a layer, or the shell.

    Synthesis names a register after the outermost wire that it drives, so that a layer's output registers
    count as between layers. A name without hierarchy, or a tool's own, belongs to neither.
    """
    path = name.split(".")[:-1]
    if name.startswith("$") or not path:
        return OTHER
    if "core" not in path:
        return SHELL
    below = path[path.index("core") + 1 :]
    return below[0] if below else BETWEEN


def _read(path: Path, kinds: Mapping[str, str]) -> tuple[str, str, list[Cell]]:
    """Device with package, chip, and every placed cell."""
    with reading(path, "a netlist of nextpnr's"):
        module = next(iter(json.loads(path.read_bytes())["modules"].values()))
        settings = module.get("settings", {})
        chip = str(settings.get("arch.type", ""))
        cells = [cell for name, entry in module["cells"].items() if (cell := _cell(name, entry, kinds))]
    if not cells:
        raise ToolError(f"{path}: no cell has the attribute NEXTPNR_BEL; write it after place and route")
    package = str(settings.get("arch.package", ""))
    return "-".join(filter(None, (chip, package))), chip, cells


def _cell(name: str, entry: Mapping[str, Any], kinds: Mapping[str, str]) -> Cell | None:
    bel = entry["attributes"].get("NEXTPNR_BEL")
    # The write port of LUT RAM takes no room: its lookup tables are cells too.
    if bel is None or entry["type"] == "TRELLIS_RAMW":
        return None
    match = _BEL.fullmatch(bel)
    if match is None:
        raise ValueError(f"NEXTPNR_BEL {bel}")
    x, y, place = match.groups()
    return Cell(part_of(name), kinds.get(entry["type"], SPECIAL), int(x), int(y), place)


def _boxes(cells: Sequence[Cell], drawing: Drawing, rows: int) -> list[Box]:
    """Where each cell is drawn."""
    tiles: dict[tuple[int, int], list[str]] = defaultdict(list)
    for cell in cells:
        tiles[cell.x, cell.y].append(cell.bel)
    boxes = []
    for cell in cells:
        box = _in_tile(cell, drawing, sorted(tiles[cell.x, cell.y]))
        row = cell.y if drawing.top_down else rows - cell.y - 1
        boxes.append(Box(cell.x * TILE + box.x, row * TILE + box.y, box.width, box.height))
    return boxes


def _in_tile(cell: Cell, drawing: Drawing, bels: Sequence[str]) -> Box:
    """Where in its tile a cell is; cells other than logic share the tile evenly."""
    if logic := drawing.logic(cell.bel):
        return Box(*logic)
    width = max(TILE // len(bels), 2)
    x = bels.index(cell.bel) * width
    if cell.bel == drawing.tall:
        return Box(x + 1, 1 - TILE, width - 2, 2 * TILE - 2)
    return Box(x, 1, width - 1, TILE - 2)


def _colours(cells: Sequence[Cell]) -> dict[str, str]:
    """A colour for each part, largest first; layers beyond the palette share the last one."""
    counts = Counter(cell.part for cell in cells)
    layers = sorted(counts.keys() - {SHELL, OTHER}, key=lambda part: (-counts[part], part))
    own = len(PALETTE) - 1 if SHELL in counts else len(PALETTE)
    colours = {part: PALETTE[min(index, own - 1)] for index, part in enumerate(layers)}
    if SHELL in counts:
        colours[SHELL] = PALETTE[-1]
    return colours | ({OTHER: GREY} if OTHER in counts else {})


def _paths(colours: Mapping[str, str], cells: Sequence[Cell], boxes: Sequence[Box]) -> str:
    """One path a colour."""
    drawn: dict[str, list[str]] = defaultdict(list)
    for cell, box in zip(cells, boxes, strict=True):
        drawn[colours[cell.part]].append(f"M{box.x} {box.y}h{box.width}v{box.height}h-{box.width}z")
    ordered = dict.fromkeys(colours.values())
    return "".join(f'<path fill="{colour}" d="{"".join(sorted(drawn[colour]))}"/>\n' for colour in ordered)


def _legend(colours: Mapping[str, str], cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Colour and text of each entry; the first one is the sum."""
    sharing = Counter(colours.values())
    counts: dict[str, Counter[str]] = {colour: Counter() for colour in colours.values()}
    names: dict[str, str] = {}
    for part, colour in colours.items():
        names[colour] = part if sharing[colour] == 1 else REST
    for cell in cells:
        counts[colours[cell.part]][cell.kind] += 1
    entries = [(colour, f"{names[colour]}: {_counted(counted)}") for colour, counted in counts.items()]
    return [("none", "in all: " + _counted(Counter(cell.kind for cell in cells))), *entries]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in ORDER if counts[kind])


def _around(boxes: Sequence[Box]) -> Box:
    """The tiles that hold all of the boxes, and one more on each side."""
    left = (min(box.x for box in boxes) // TILE - 1) * TILE
    top = (min(box.y for box in boxes) // TILE - 1) * TILE
    right = (max(box.x + box.width for box in boxes) // TILE + 2) * TILE
    bottom = (max(box.y + box.height for box in boxes) // TILE + 2) * TILE
    return Box(left, top, right - left, bottom - top)


def _svg(device: str, whole: Box, used: Box, shapes: str, legend: Sequence[tuple[str, str]]) -> str:
    """Chip, an enlarged view where the design takes little of it, legend."""
    enlarged = 3 * used.width * used.height < whole.width * whole.height
    body = [f'<text x="{MARGIN}" y="{LINE - 4}" font-weight="bold">{escape(device)}</text>']
    drawn = f'<g id="placed-cells">{shapes}</g>'
    panel, y = _panel(whole, drawn, LINE + MARGIN, WIDTH * 3 // 5 if enlarged else WIDTH)
    body.append(panel)
    if enlarged:
        body.append(f'<text x="{MARGIN}" y="{y + LINE}">the part in use, enlarged</text>')
        panel, y = _panel(used, '<use href="#placed-cells"/>', y + LINE + 2 * MARGIN, WIDTH)
        body.append(panel)
    for colour, text in legend:
        y += LINE
        if colour != "none":
            body.append(f'<rect x="{MARGIN}" y="{y - 10}" width="11" height="11" fill="{colour}"/>')
        body.append(f'<text x="{MARGIN + (18 if colour != "none" else 0)}" y="{y}">{escape(text)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + LINE // 2}" role="img" '
        f'font-family="sans-serif" font-size="13" fill="currentColor">\n'
        f"<title>Placed design in the {escape(device)}</title>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _panel(view: Box, content: str, y: int, width: int) -> tuple[str, int]:
    """A view of the chip with the grid of its tiles, and the height at which it ends."""
    height = round(width * view.height / view.width)
    right, bottom = view.x + view.width, view.y + view.height
    lines = [f"M{x} {view.y}V{bottom}" for x in range(view.x, right + 1, TILE)]
    lines += [f"M{view.x} {row}H{right}" for row in range(view.y, bottom + 1, TILE)]
    box = f"{view.x} {view.y} {view.width} {view.height}"
    grid = f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-opacity=".14"/>'
    text = (
        f'<svg x="0" y="{y}" width="{width}" height="{height}" viewBox="{box}">'
        f'<rect x="{view.x}" y="{view.y}" width="{view.width}" height="{view.height}" fill-opacity=".05"/>'
        f"{grid}\n{content}</svg>"
    )
    return text, y + height
