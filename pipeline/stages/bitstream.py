"""Stage `bitstream`: the core with its shell, on the board's chip."""

import shutil

from hw.boards.boards import find
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Synthesize, place and route, pack; draw the placed design."""
    from hw.implementation import bitstream, floorplan
    from hw.interface import CoreInterface
    from hw.shells.protocol import design_identity

    asked, work, out = ctx.config.board, ctx.work / "build", ctx.work
    board, native = find(asked.name), asked.toolchain == "native"
    core = ctx.input("compile", "core.v")
    work.mkdir()
    steps = ("synthesis", "place and route", "packing")
    ctx.progress(steps[0], 0, 3)
    bitstream.synthesize(
        board,
        core,
        CoreInterface.load(ctx.input("compile", "io.json")),
        design_identity(core.read_bytes()),
        work=work,
        log=ctx.log("synthesis.log"),
        shell=asked.shell,
        native=native,
    )
    ctx.progress(steps[1], 1, 3)
    log = ctx.log("place_and_route.log")
    utilization = bitstream.place_and_route(board, work=work, log=log, seed=ctx.seed, native=native)
    ctx.progress(steps[2], 2, 3)
    packed = bitstream.pack(board, work=work, log=ctx.log("packing.log"), native=native)
    shutil.copyfile(packed, out / f"bitstream{packed.suffix}")
    constraints = work / f"top{board.toolchain.constraints}"
    shutil.copyfile(constraints, out / f"constraints{constraints.suffix}")
    shutil.copyfile(work / bitstream.NETLIST, out / "netlist.json")
    shutil.copyfile(work / bitstream.PINS, out / "pins.json")
    utilization.save(out / "utilization.json")
    (out / "floorplan.svg").write_text(floorplan.draw(work / bitstream.PLACED, board.toolchain.drawing))
    ctx.progress(steps[2], 3, 3)
    return {"fmax_hz": utilization.fmax_hz}
