"""The rungs of cores that compute no build's student: a decision tree's."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.progress import Step
from hw.boards.boards import find
from hw.interface import CoreInterface, load_weights
from models import data
from models.students.tree import DecisionTree
from pipeline.config.build import BoardConfig, Build, VerifyConfig
from pipeline.ladder import chip
from pipeline.ladder.chip import Chip
from pipeline.ladder.climbing import Climbed, Rungs, climb_side_by_side, performance

CHIP: Rungs[Chip] = {
    "netlist": (chip.synthesized, ("pyosys", "verilator", "g++")),
    "bitstream": (chip.bitstream, ("verilator", "g++")),
    "board": (chip.board, ("amaranth", "pyosys", "verilator", "g++")),
}
"""By rung, in order: what it does, and the tools that it does it with."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a core has to give.

    Attributes:
        x: uint8 (n, features), what it is given.
        expected: (n, outputs).
        name: whose that is.
        bound: the cycles a frame that the core has to reach.
    """

    x: NDArray[np.uint8]
    expected: NDArray[np.int64]
    name: str
    bound: int


def _tree(folder: Path, interface: CoreInterface) -> Reference:
    """The tree's labels of the test split; its core takes a word in every cycle."""
    x = data.load(folder / "data.safetensors").test.x
    labels = DecisionTree.load(folder / "tree.json").predict(x)
    return Reference(x, labels[:, None], "tree", interface.input.words)


OWN: Mapping[str, Callable[[Path, CoreInterface], Reference]] = {"tree": _tree}
"""By the stage that makes the core, what the core has to give."""
COMMANDS: Mapping[str, str] = {"tree": "retort tree"}


def own_stage(stages: Iterable[str]) -> str | None:
    """Which of a folder's stages made a core of its own; None where the folder is a build's."""
    return next((name for name in stages if name in OWN), None)


def own_rungs(bound: int = 0, *, placed: bool) -> Rungs[Chip]:
    """The rungs of a core that has to reach `bound` cycles a frame; to the board, where it is `placed`."""
    rtl: Rungs[Chip] = {"rtl": (partial(chip.rtl, bound=bound), ("verilator", "g++"))}
    return rtl | CHIP if placed else rtl


def climb_own(
    config: Build,
    folder: Path,
    keys: Mapping[str, str],
    log: Path,
    step: Step,
    port: str | None = None,
) -> Climbed:
    """Climb from the reference in `folder` to its core, and on to the board where `keys` have a bitstream.

    `keys` are the stages', one of `OWN` among them; the rest is as `climb` has it.
    """
    name = own_stage(keys)
    assert name is not None, "a folder of `retort tree`"
    reference = OWN[name](folder, CoreInterface.load(folder / "io.json"))
    key, placed = keys.get("bitstream", keys[name]), "bitstream" in keys
    return climb_core(
        reference, config.board, config.verify, folder, key, log, step, placed=placed, port=port
    )


def climb_core(
    reference: Reference,
    wanted: BoardConfig,
    limits: VerifyConfig,
    folder: Path,
    key: str,
    log: Path,
    step: Step,
    *,
    placed: bool,
    port: str | None = None,
) -> Climbed:
    """Climb from a reference to the core in `folder`, and on to the board where it is `placed` on one."""
    interface = CoreInterface.load(folder / "io.json")
    rungs = own_rungs(reference.bound, placed=placed)
    with tempfile.TemporaryDirectory(prefix="retort-verify-") as scratch:
        own = Chip(
            folder=folder,
            interface=interface,
            board=find(wanted.name),
            shell=wanted.shell,
            frames=reference.x.reshape(-1, *interface.input.shape),
            expected=reference.expected,
            against=reference.name,
            limits=limits,
            work=Path(scratch),
            log=log,
            step=step,
            weights=load_weights(folder, interface),
            port=port,
        )
        rows = []
        for row in climb_side_by_side(own, rungs, key, reference.name):
            rows.append(row)
            step("rungs", len(rows), len(rungs))
    return Climbed(rows, performance(own.board, own.shell, interface, rows))
