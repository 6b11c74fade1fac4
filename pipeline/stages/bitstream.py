"""Stage `bitstream`: the core with its shell, on the board's chip."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common.progress import Step
from pipeline.config.build import BoardConfig
from pipeline.engine.stage import Facts, StageContext

if TYPE_CHECKING:
    from hw.implementation.bitstream import Utilization


def run(ctx: StageContext) -> Facts:
    """Synthesize, place and route, pack; draw the placed design. Its one input stage made the core."""
    (source,) = ctx.manifests
    core, interface = (ctx.input(source, name) for name in ("core.v", "io.json"))
    utilization = implement(
        ctx.config.board,
        core,
        interface,
        ctx.work,
        work=ctx.work / "build",
        seed=ctx.seed,
        log=ctx.log,
        step=ctx.progress,
    )
    return {"fmax_hz": utilization.fmax_hz}


def implement(
    wanted: BoardConfig,
    core: Path,
    interface: Path,
    out: Path,
    *,
    work: Path,
    seed: int,
    log: Callable[[str], Path],
    step: Step,
) -> "Utilization":
    """Take a core, `core.v` with its `io.json`, to the bitstream of a board of open tools, in `out`.

    `work` is a new folder, `log` gives the file of a tool's output. Raises as
    `hw.implementation.bitstream` does.
    """
    from hw.boards.boards import find
    from hw.implementation import bitstream, floorplan
    from hw.interface import CoreInterface
    from hw.shells.protocol import design_identity

    board, native = find(wanted.name), wanted.toolchain == "native"
    work.mkdir()
    steps = ("synthesis", "place and route", "packing")
    step(steps[0], 0, 3)
    bitstream.synthesize(
        board,
        core,
        CoreInterface.load(interface),
        design_identity(core.read_bytes()),
        work=work,
        log=log("synthesis.log"),
        shell=wanted.shell,
        native=native,
    )
    step(steps[1], 1, 3)
    utilization = bitstream.place_and_route(
        board, work=work, log=log("place_and_route.log"), seed=seed, native=native
    )
    step(steps[2], 2, 3)
    packed = bitstream.pack(board, work=work, log=log("packing.log"), native=native)
    shutil.copyfile(packed, out / f"bitstream{packed.suffix}")
    constraints = work / f"top{board.toolchain.constraints}"
    shutil.copyfile(constraints, out / f"constraints{constraints.suffix}")
    shutil.copyfile(work / bitstream.NETLIST, out / "netlist.json")
    shutil.copyfile(work / bitstream.PINS, out / "pins.json")
    utilization.save(out / "utilization.json")
    (out / "floorplan.svg").write_text(floorplan.draw(work / bitstream.PLACED, board.toolchain.drawing))
    step(steps[2], 3, 3)
    return utilization
