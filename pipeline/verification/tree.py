"""The rungs of a decision tree: its core and its chip give the labels that the tree gives."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hw.boards import find_open
from hw.interface import CoreInterface
from models import data
from models.tree import DecisionTree
from pipeline.config import Build
from pipeline.progress import Step
from pipeline.verification import chip
from pipeline.verification.artefacts import Finding
from pipeline.verification.chip import Chip
from pipeline.verification.ladder import Climbed, Rungs, climb_side_by_side, performance

REFERENCE = "tree"


def rtl(own: Chip) -> Finding:
    """`core.v` in Verilator on the whole test set; it takes a word in every cycle."""
    return chip.rtl(own, own.interface.input.words)


CORE: Rungs[Chip] = {"rtl": (rtl, ("verilator", "g++"))}
CHIP: Rungs[Chip] = {
    "netlist": (chip.synthesized, ("pyosys", "verilator", "g++")),
    "bitstream": (chip.bitstream, ("verilator", "g++")),
    "board": (chip.board, ("amaranth", "pyosys", "verilator", "g++")),
}
"""By rung, in order: what it does, and the tools that it does it with."""


def climb_tree(
    config: Build,
    folder: Path,
    keys: Mapping[str, str],
    log: Path,
    step: Step,
    port: str | None = None,
) -> Climbed:
    """Climb from the tree in `folder` to its core, and on to the board where `keys` have a bitstream.

    `keys` are the stages', the rest is as `climb` has it.
    """
    rungs = CORE | CHIP if "bitstream" in keys else CORE
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        own = _chip(config, folder, Path(scratch), log, step, port)
        rows = []
        for row in climb_side_by_side(own, rungs, keys.get("bitstream", keys["tree"]), REFERENCE):
            rows.append(row)
            step("rungs", len(rows), len(rungs))
    return Climbed(rows, performance(own.board, rows))


def _chip(config: Build, folder: Path, work: Path, log: Path, step: Step, port: str | None) -> Chip:
    x = data.load(folder / "data.safetensors").test.x
    interface = CoreInterface.load(folder / "io.json")
    return Chip(
        folder=folder,
        interface=interface,
        board=find_open(config.board.name),
        shell=config.board.shell,
        frames=x.reshape(-1, *interface.input.shape),
        expected=DecisionTree.load(folder / "tree.json").predict(x)[:, None],
        against=REFERENCE,
        limits=config.verify,
        work=work,
        log=log,
        step=step,
        port=port,
    )
