"""What Yosys makes of Verilog, and how nextpnr packs it, module by module, kept by content."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.boards.boards import FAMILIES
from hw.boards.families.base import ChipFamily, Toolchain
from hw.implementation.bitstream import CHAINS, packed_resources, synthesis
from hw.mapping.cost import Cost
from hw.tools import tools


def toolchain(family: ChipFamily) -> Toolchain:
    """The open tools of a family that has them."""
    assert family.toolchain
    return family.toolchain


@dataclass(frozen=True)
class Bench:
    """Where measurements are made and kept."""

    work: Path
    cache: Path

    def measured(
        self, verilog: str, family: ChipFamily, top: str, kept: Sequence[str] = ()
    ) -> dict[str, Cost]:
        """What Yosys makes of Verilog: of module `top`, and of modules `kept` by themselves."""
        flow = (
            synthesis(toolchain(family), top, Path("/")),
            CHAINS.read_text(),
            "packed by nextpnr, after hierarchy",
        )
        digest = hashlib.sha256(repr((verilog, family.name, list(kept), flow)).encode()).hexdigest()[:24]
        found = self.cache / f"{digest}.json"
        if not found.exists():
            found.write_text(json.dumps(self._synthesize(verilog, family, top, kept)))
        return {name: Cost(**each) for name, each in json.loads(found.read_text()).items()}

    def _synthesize(self, verilog: str, family: ChipFamily, top: str, kept: Sequence[str]) -> dict[str, Any]:
        (self.work / "top.v").write_text(verilog)
        keep = [f"setattr -mod -set keep_hierarchy 1 -set keep 1 {name}" for name in kept]
        script = [
            "read_verilog top.v",
            f"hierarchy -top {top}",  # before attributes are set: it may make modules anew
            *keep,
            *synthesis(toolchain(family), top, self.work),
            "write_json top.json",
        ]
        log = self.work / "log"
        tools.run_yosys(script, cwd=self.work, log=log, products=[Path("top.json")])
        modules = json.loads((self.work / "top.json").read_text())["modules"]
        names = [name for name in modules if name == top or name in kept]
        return {name: self._counted(name, modules[name], family) for name in names}

    def _counted(self, name: str, module: Mapping[str, Any], family: ChipFamily) -> dict[str, Any]:
        """The cells of a module, as place and route counts them."""
        cells = Counter(cell["type"] for cell in module["cells"].values())
        if family.name == "ecp5":
            luts = cells["LUT4"] + 2 * cells["CCU2C"] + 4 * cells["TRELLIS_DPR16X4"]
            blocks = cells["DP16KD"] + cells["PDPW16KD"]
            return {"luts": luts, "flip_flops": cells["TRELLIS_FF"], "block_rams": blocks}
        flip_flops = sum(count for kind, count in cells.items() if kind.startswith("SB_DFF"))
        blocks = sum(count for kind, count in cells.items() if kind.startswith("SB_RAM40_4K"))
        return {"luts": self._packed(name, module), "flip_flops": flip_flops, "block_rams": blocks}

    def _packed(self, name: str, module: Mapping[str, Any]) -> int:
        """Logic cells of a module by itself, as nextpnr packs LUTs, flip-flops and carries into them."""
        netlist, log = self.work / "module.json", self.work / "packing.log"
        netlist.write_text(json.dumps({"modules": {name: module}}))
        log.unlink(missing_ok=True)
        argv = [*toolchain(FAMILIES["ice40"]).nextpnr(), "--hx8k", "--package", "ct256", "--pack-only"]
        argv += ["--top", name, "--json", netlist.name]
        tools.run(argv, cwd=self.work, log=log, what=f"packing of {name}")
        return packed_resources(log)["ICESTORM_LC"]
