"""The rungs from the core's Verilog to the board, of a network's core."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hw.simulation import simulate
from pipeline.artefacts.hardware import LAYERS
from pipeline.ladder import chip
from pipeline.ladder.artefacts import Artefacts, Finding
from pipeline.ladder.chip import Chip, Core
from pipeline.ladder.deployed import deployed


def core_of(artefacts: Artefacts) -> Core:
    """The build's core, which has to give what golden gives."""
    return Core(**_core(artefacts))


def chip_of(artefacts: Artefacts) -> Chip:
    """The same on its board."""
    return Chip(
        **_core(artefacts),
        board=artefacts.open_board,
        shell=artefacts.config.board.shell,
        port=artefacts.port,
    )


def _core(artefacts: Artefacts) -> dict[str, Any]:
    return {
        "folder": artefacts.folder,
        "interface": artefacts.interface,
        "frames": artefacts.frames,
        "expected": artefacts.expected(),
        "against": "golden",
        "limits": artefacts.config.verify,
        "work": artefacts.work,
        "log": artefacts.log,
        "step": artefacts.step,
        "weights": artefacts.weights,
    }


def rtl(artefacts: Artefacts) -> Finding:
    """`core.v` in Verilator against golden; where they differ, with the first layer that does."""
    found = chip.rtl(core_of(artefacts), interval_bound(artefacts.folder))
    if found.differs_at is None:
        return found
    where = first_layer(artefacts, found.differs_at)
    return replace(found, first_mismatch=f"{found.first_mismatch}; {where}")


def interval_bound(folder: Path) -> int:
    """Cycles a frame of the slowest layer, from `layers.json`."""
    return max((layer.cycles for layer in LAYERS.load(folder)), default=0)


def first_layer(artefacts: Artefacts, sample: int) -> str:
    """Name the first layer in which the core leaves golden on a sample, by listening to its streams."""
    layers = [layer for layer in LAYERS.load(artefacts.folder) if layer.kind == "Threshold"]
    if not layers:
        return "no layer has activations to compare"
    taps = tuple(simulate.Tap(layer.name, layer.pe or 1, layer.output_bits or 1) for layer in layers)
    wanted = artefacts.tapped(artefacts.x[sample : sample + 1], layers)
    simulator = core_of(artefacts).simulator("taps", taps)
    for tap, values, found in zip(
        taps, wanted, simulator.run(artefacts.frames[sample : sample + 1]).taps, strict=True
    ):
        if not np.array_equal(values, found):
            return f"the first layer that differs is {tap.instance}"
    return "every layer's activations agree; the last layer differs"


def synthesized(artefacts: Artefacts) -> Finding:
    """The netlist that nextpnr placed, shell and all, against golden."""
    return chip.synthesized(chip_of(artefacts))


def bitstream(artefacts: Artefacts) -> Finding:
    """The bitstream against golden, or, on ECP5, against itself."""
    return chip.bitstream(chip_of(artefacts))


def board(artefacts: Artefacts) -> Finding:
    """The board at `artefacts.target`, or on `artefacts.port`, or the virtual one, against golden."""
    if artefacts.target:
        return deployed(artefacts, artefacts.target)
    return chip.board(chip_of(artefacts))
