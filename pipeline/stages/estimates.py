"""Stage `estimates`: FINN's estimates of its layers, and what Yosys makes of their RTL, side by side."""

from dataclasses import asdict

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Write `estimates.json`."""
    from hw.boards.boards import find
    from hw.finn.rtl.estimates import estimates
    from pipeline.artefacts.hardware import ESTIMATES

    board = find(ctx.config.board.name)
    folder = ctx.lay_out("finn")
    work, log = ctx.work / "synthesis", ctx.log("estimates.log")
    found = estimates(folder, board.finn.architecture, work=work, log=log)
    ESTIMATES.save(ctx.work, found)
    return asdict(found.total)
