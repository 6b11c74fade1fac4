"""What Yosys makes of Verilog, module by module, kept by content."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw import tools
from hw.bitstream import CHAINS, synthesis
from hw.cost import Cost


@dataclass(frozen=True)
class Bench:
    """Where measurements are made and kept."""

    work: Path
    cache: Path

    def measured(self, verilog: str, family: str, top: str, kept: Sequence[str] = ()) -> dict[str, Cost]:
        """What Yosys makes of Verilog: of module `top`, and of modules `kept` by themselves."""
        flow = (synthesis(family, top, Path("/")), CHAINS.read_text())
        digest = hashlib.sha256(repr((verilog, family, list(kept), flow)).encode()).hexdigest()[:24]
        found = self.cache / f"{digest}.json"
        if not found.exists():
            found.write_text(json.dumps(self._synthesize(verilog, family, top, kept)))
        return {name: Cost(**each) for name, each in json.loads(found.read_text()).items()}

    def _synthesize(self, verilog: str, family: str, top: str, kept: Sequence[str]) -> dict[str, Any]:
        (self.work / "top.v").write_text(verilog)
        keep = [f"setattr -mod -set keep_hierarchy 1 -set keep 1 {name}" for name in kept]
        script = [
            "read_verilog top.v",
            *keep,
            *synthesis(family, top, self.work),
            "write_json top.json",
        ]
        log = self.work / "log"
        tools.run_yosys(script, cwd=self.work, log=log, products=[Path("top.json")])
        modules = json.loads((self.work / "top.json").read_text())["modules"]
        names = [name for name in modules if name == top or name in kept]
        return {name: _counted(modules[name], family) for name in names}


def _counted(module: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The cells of a module, as place and route counts them."""
    cells = Counter(cell["type"] for cell in module["cells"].values())
    if family == "ecp5":
        luts = cells["LUT4"] + 2 * cells["CCU2C"] + 4 * cells["TRELLIS_DPR16X4"]
        return {
            "luts": luts,
            "flip_flops": cells["TRELLIS_FF"],
            "block_rams": _sum(cells, "DP16KD", "PDPW16KD"),
        }
    flip_flops = sum(count for kind, count in cells.items() if kind.startswith("SB_DFF"))
    blocks = sum(count for kind, count in cells.items() if kind.startswith("SB_RAM40_4K"))
    luts = cells["SB_LUT4"] + _alone(module["cells"].values())
    return {"luts": luts, "flip_flops": flip_flops, "block_rams": blocks}


def _sum(cells: Counter[str], *kinds: str) -> int:
    return sum(cells[kind] for kind in kinds)


def _alone(cells: Iterable[Mapping[str, Any]]) -> int:
    """Flip-flops of an iCE40 that share their logic cell with no LUT, and carries that share it with none."""
    cells = list(cells)
    users: Counter[int] = Counter()
    driven, adders = set(), set()
    for cell in cells:
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                users.update(bits)
        if cell["type"] == "SB_LUT4":
            wires = cell["connections"]
            driven.add(wires["O"][0])
            adders.add((wires["I1"][0], wires["I2"][0], wires["I3"][0]))
    alone = 0
    for cell in cells:
        wires = cell["connections"]
        if cell["type"].startswith("SB_DFF"):
            alone += wires["D"][0] not in driven or users[wires["D"][0]] > 1
        elif cell["type"] == "SB_CARRY":
            alone += (wires["I0"][0], wires["I1"][0], wires["CI"][0]) not in adders
    return alone
