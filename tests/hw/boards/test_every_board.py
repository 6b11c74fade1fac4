"""A small core all the way to a bitstream on every board, and its netlist at the board's pins."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.boards.board import CONTROL_PINS
from hw.host.host import Link
from hw.implementation import bitstream
from hw.shells.port import Shell, parallel_port
from hw.simulation import netlist, parallel_board, virtual_board
from hw.simulation.netlist import ChipModel
from tests.hw.conftest import Compiled, compile_core
from tests.hw.networks import random_frames

SAMPLES = 6

pytestmark = pytest.mark.slow


def infer(
    compiled: Compiled, model: ChipModel, shell: Shell, work: Path
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the chip gives at its pins, and what the network gives."""
    frames, io, log = random_frames(SAMPLES, compiled.network.inputs), compiled.design.interface, work / "log"
    expected = compiled.network.forward(frames)
    if shell == "parallel":
        port = parallel_port(compiled.board, io)
        found = parallel_board.run(
            model, frames, io, port, work=work / "simulator", log=log, stall_percent=30, optimize="-O0"
        )
        return found.outputs, expected
    executable = virtual_board.build(
        model,
        work=work / "simulator",
        log=log,
        clocks_per_bit=compiled.board.clocks_per_bit,
        optimize="-O0",
    )
    with (
        virtual_board.VirtualBoard(executable, log) as running,
        Link(running.port, compiled.board.baud, timeout=120) as link,
    ):
        return link.infer(frames, io), expected


@pytest.mark.parametrize(
    ("name", "shell"),
    [
        ("hx8k", "uart"),
        ("orangecrab", "uart"),
        ("icebreaker", "parallel"),
        ("hx8k", "parallel"),
        ("ulx3s-85f", "parallel"),
        ("orangecrab", "parallel"),
    ],
)
def test_core_to_bitstream(name: str, shell: Shell, tmp_path: Path) -> None:
    compiled = compile_core(name, [16, 32, 8], [(1, 2), (1, 2)], tmp_path / "core")
    board, io, work = compiled.board, compiled.design.interface, tmp_path / "build"
    work.mkdir()
    log = work / "log"
    bitstream.synthesize(board, compiled.core, io, compiled.identity, work=work, log=log, shell=shell)
    utilization = bitstream.place_and_route(board, work=work, log=log, seed=1)
    assert utilization.timing_met
    if shell == "parallel":
        port, pads = parallel_port(board, io), {"ice40": "SB_IO", "ecp5": "TRELLIS_IO"}[board.family.name]
        pins = port.in_bits + port.out_bits + len(CONTROL_PINS) + 1  # and the clock
        assert utilization.resources[pads].used == pins
    packed = bitstream.pack(board, work=work, log=log)
    assert netlist.repacks(board, packed, tmp_path, log)
    assert json.loads((work / bitstream.PINS).read_text())["shell"] == shell
    model = netlist.netlist_model(board, work / bitstream.NETLIST, tmp_path, log, shell=shell)
    outputs, expected = infer(compiled, model, shell, tmp_path)
    np.testing.assert_array_equal(outputs, expected)
