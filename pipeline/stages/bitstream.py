"""Stage `bitstream`: the core with its shell, on the board's chip."""

import shutil

from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Synthesize, place and route, pack; draw the placed design. Its one input stage made the core."""
    from hw import bitstream, floorplan
    from hw.boards import find_open
    from hw.interface import CoreInterface
    from hw.shell.protocol import design_identity

    board = find_open(ctx.config.board.name)
    native = ctx.config.board.toolchain == "native"
    (source,) = ctx.manifests
    core = ctx.input(source, "core.v")
    interface = CoreInterface.load(ctx.input(source, "io.json"))
    work = ctx.work / "build"
    work.mkdir()
    steps = ("synthesis", "place and route", "packing")
    ctx.progress(steps[0], 0, 3)
    identity = design_identity(core.read_bytes())
    bitstream.synthesize(
        board,
        core,
        interface,
        identity,
        work=work,
        log=ctx.log("synthesis.log"),
        shell=ctx.config.board.shell,
        native=native,
    )
    ctx.progress(steps[1], 1, 3)
    utilization = bitstream.place_and_route(
        board, work=work, log=ctx.log("place_and_route.log"), seed=ctx.seed, native=native
    )
    ctx.progress(steps[2], 2, 3)
    packed = bitstream.pack(board, work=work, log=ctx.log("packing.log"), native=native)
    shutil.copyfile(packed, ctx.work / f"bitstream{packed.suffix}")
    constraints = work / bitstream.CONSTRAINTS[board.family]
    shutil.copyfile(constraints, ctx.work / f"constraints{constraints.suffix}")
    shutil.copyfile(work / bitstream.NETLIST, ctx.work / "netlist.json")
    shutil.copyfile(work / bitstream.PINS, ctx.work / "pins.json")
    utilization.save(ctx.work / "utilization.json")
    (ctx.work / "floorplan.svg").write_text(floorplan.draw(work / bitstream.PLACED, board.family))
    ctx.progress(steps[2], 3, 3)
    return {"fmax_hz": utilization.fmax_hz}
