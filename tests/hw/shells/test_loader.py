"""Weights over the link: LOAD in order and out of it, damaged, broken off; no frame before all are there."""

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CapacityError, ModelFileError
from hw.boards.boards import find
from hw.implementation import bitstream
from hw.interface import CoreInterface, StreamFormat, WeightsFormat, load_weights
from hw.mapping.cost.estimate import LOADER
from hw.shells import protocol
from hw.shells.chip import build_plan, chip_verilog
from hw.shells.loader import Loader
from hw.shells.port import PortWidths
from hw.shells.protocol import BLOCK_BYTES, Command, Reply, Status
from hw.tools.tools import run_yosys
from tests.hw.shells.test_shell import DESIGN, HELLO, IDENTIFY, TIMEOUT, Rig, broken

COLUMNS = (300, 300)
WEIGHTS = np.random.default_rng(0).bytes(2 * sum(COLUMNS))
FORMAT = WeightsFormat(COLUMNS, zlib.crc32(WEIGHTS))
INTERFACE = CoreInterface(StreamFormat((6,), "uint8", 1), StreamFormat((2,), "int16", 1), FORMAT)
BLOCKS = [protocol.encode_request(3, Command.LOAD, block) for block in protocol.weight_blocks(WEIGHTS)]
FRAME = bytes(range(6))
INFER = protocol.encode_request(3, Command.INFER, FRAME)
OK = Reply(Status.OK)
SOON, LATE = 300, 2 * TIMEOUT + 200


class LoadedRig(Rig):
    """Notes what goes to the core's load port."""

    def __init__(self) -> None:
        super().__init__(INTERFACE)
        self.ram = np.full((len(COLUMNS), max(COLUMNS)), -1)
        self.released: list[int] = []  # words that were loaded when the core left its reset

    async def listen_to_load(self, ctx: Any) -> None:
        load, held, words = self.link.load, 1, 0
        async for *_, valid, column, address, data, reset in ctx.tick().sample(
            load.valid, load.column, load.address, load.data, self.link.core_reset
        ):
            if held and not reset:
                self.released.append(words)
            held = reset
            if valid:
                assert reset, "a core that runs is loaded"
                self.ram[column, address] = data
                words += 1

    def listeners(self) -> tuple[Callable[[Any], Any], ...]:
        return (self.listen_to_load,)


def loading(*blocks: bytes) -> list[bytes | int]:
    return [part for block in blocks for part in (block, SOON)]


def test_loads_then_infers() -> None:
    rig = LoadedRig()
    replies = rig.run(IDENTIFY, SOON, INFER, LATE, *loading(*BLOCKS), INFER, 500, IDENTIFY, SOON)
    assert replies == [
        HELLO,
        Reply(Status.NOT_LOADED),
        *[OK] * len(BLOCKS),
        Reply(Status.OK, rig.output(FRAME)),
        HELLO,
    ]
    assert rig.frames == [FRAME]
    words = np.frombuffer(WEIGHTS, "<u2").astype(np.int64)
    ends = np.cumsum(COLUMNS)
    for column, part in enumerate(np.split(words, ends[:-1])):
        np.testing.assert_array_equal(rig.ram[column, : len(part)], part)
    assert (rig.ram >= 0).all()


def test_loaded_weights_outlast_a_fault() -> None:
    rig = LoadedRig()
    replies = rig.run(*loading(*BLOCKS), broken(INFER, 6), LATE, INFER[:7], LATE, INFER, 500)
    assert [reply.status for reply in replies[len(BLOCKS) :]] == [Status.BAD_CRC, Status.TIMEOUT, Status.OK]


def test_core_is_held_until_it_is_loaded() -> None:
    """A core that runs before would take the padding of its first frame with weights that are not there."""
    rig = LoadedRig()
    rig.run(IDENTIFY, SOON, INFER, LATE, *loading(*BLOCKS), INFER, 500, *loading(*BLOCKS), INFER, 500)
    assert rig.released == [sum(COLUMNS), 2 * sum(COLUMNS)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (broken(BLOCKS[1], 600), Status.BAD_CRC),
        (BLOCKS[1][:200], Status.TIMEOUT),
        (protocol.encode_request(3, Command.LOAD, bytes([2]) + bytes(BLOCK_BYTES)), Status.BAD_BLOCK),
        (protocol.encode_request(3, Command.LOAD, bytes(BLOCK_BYTES)), Status.BAD_LENGTH),
    ],
    ids=["damaged", "broken off", "one left out", "short"],
)
def test_fault_while_loading(fault: bytes, status: Status) -> None:
    """What comes next is refused, as frames are, until all was loaded again from the beginning."""
    rig = LoadedRig()
    script = [*loading(BLOCKS[0]), fault, LATE, BLOCKS[1], LATE, INFER, LATE]
    replies = rig.run(*script, *loading(*BLOCKS), INFER, 500)
    assert replies == [
        OK,
        Reply(status),
        Reply(Status.BAD_BLOCK),
        Reply(Status.NOT_LOADED),
        *[OK] * len(BLOCKS),
        Reply(Status.OK, rig.output(FRAME)),
    ]


@pytest.mark.slow
def test_other_weights_are_refused() -> None:
    other = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
    blocks = [protocol.encode_request(3, Command.LOAD, block) for block in protocol.weight_blocks(other)]
    rig = LoadedRig()
    replies = rig.run(*loading(*blocks), INFER, LATE, *loading(*BLOCKS), INFER, 500)
    assert replies[len(blocks)] == Reply(Status.NOT_LOADED)
    assert replies[-1] == Reply(Status.OK, rig.output(FRAME))


@pytest.mark.slow
def test_beginning_anew_forgets() -> None:
    replies = LoadedRig().run(*loading(*BLOCKS, BLOCKS[0]), INFER, LATE)
    assert replies[-1] == Reply(Status.NOT_LOADED)


@pytest.mark.slow
def test_no_block_behind_the_last() -> None:
    beyond = protocol.encode_request(3, Command.LOAD, bytes([len(BLOCKS)]) + bytes(BLOCK_BYTES))
    replies = LoadedRig().run(*loading(*BLOCKS), beyond, LATE, INFER, LATE)
    assert replies[-2:] == [Reply(Status.BAD_BLOCK), Reply(Status.NOT_LOADED)]


def test_core_without_weights_knows_no_load() -> None:
    plain = Rig(CoreInterface(INTERFACE.input, INTERFACE.output))
    assert plain.run(BLOCKS[0], LATE) == [Reply(Status.BAD_COMMAND)]


@pytest.mark.usefixtures("unbuilt")
def test_more_than_the_link_takes() -> None:
    with pytest.raises(CapacityError, match="weights to load of 262146 bytes: the link takes 262144"):
        Loader(WeightsFormat((131073,), 0))


def test_parallel_shell_refuses_weights(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"1200 bytes of weights to load .* take shell 'uart'"):
        build_plan(find("icebreaker"), "", INTERFACE, DESIGN, shell="parallel")
    with pytest.raises(CapacityError, match="parallel shell cannot"):
        chip_verilog(INTERFACE, DESIGN, tmp_path, port=PortWidths(1, 1, 8, 16))


def test_interface_of_a_core_with_weights(tmp_path: Path) -> None:
    INTERFACE.save(tmp_path / "io.json")
    assert CoreInterface.load(tmp_path / "io.json") == INTERFACE
    with pytest.raises(ModelFileError, match=r"weights\.bin: No such file .*; build the core again"):
        load_weights(tmp_path, INTERFACE)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    assert load_weights(tmp_path, INTERFACE) == WEIGHTS
    (tmp_path / "weights.bin").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(
        ModelFileError, match=r"weights\.bin: 1200 bytes of CRC-32 \w+, the core takes 1200 of"
    ):
        load_weights(tmp_path, INTERFACE)
    assert load_weights(tmp_path, CoreInterface(INTERFACE.input, INTERFACE.output)) == b""


def shell_cells(interface: CoreInterface, work: Path) -> tuple[int, int]:
    """LUTs and flip-flops of the shell on an iCE40."""
    work.mkdir()
    (work / "chip.v").write_text(chip_verilog(interface, DESIGN, work))
    loads = ""
    if interface.weights is not None:
        widths = interface.weights.column_bits, interface.weights.address_bits
        loads = (
            ", input load_valid, input [{}:0] load_column, input [{}:0] load_address, input [15:0] load_data"
        )
        loads = loads.format(*(width - 1 for width in widths))
    (work / "core.v").write_text(
        "module core(input clk, rst, s_axis_tvalid, m_axis_tready, input [7:0] s_axis_tdata,"
        f" output s_axis_tready, m_axis_tvalid, output [15:0] m_axis_tdata{loads}); endmodule\n"
    )
    script = [
        "read_verilog -lib core.v",
        "read_verilog chip.v",
        *bitstream.synthesis(find("icebreaker").toolchain, "chip", work),
        "write_json chip.json",
    ]
    run_yosys(script, cwd=work, log=work / "log", products=[Path("chip.json")])
    cells = json.loads((work / "chip.json").read_text())["modules"]["chip"]["cells"].values()
    kinds = [cell["type"] for cell in cells]
    return kinds.count("SB_LUT4"), sum(kind.startswith("SB_DFF") for kind in kinds)


@pytest.mark.slow
def test_cost_of_loading(tmp_path: Path) -> None:
    """Of the most columns that a chip has; fewer take less."""
    four = replace(INTERFACE, weights=WeightsFormat((16384, 16384, 9000, 9000), 123456789))
    luts, flip_flops = shell_cells(four, tmp_path / "four")
    plain_luts, plain_flip_flops = shell_cells(replace(INTERFACE, weights=None), tmp_path / "plain")
    assert luts - plain_luts == pytest.approx(LOADER.luts, rel=0.15)
    assert flip_flops - plain_flip_flops == pytest.approx(LOADER.flip_flops, rel=0.15)
