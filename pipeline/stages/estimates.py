"""Stage `estimates`: FINN's estimates of its layers, and what Yosys makes of their RTL, side by side."""

import json

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Write `estimates.json`."""
    from hw.boards.boards import find_amd
    from hw.finn.rtl.estimates import estimates

    board = find_amd(ctx.config.board.name)
    folder = ctx.lay_out("finn")
    found = estimates(folder, board.architecture, work=ctx.work / "synthesis", log=ctx.log("estimates.log"))
    (ctx.work / "estimates.json").write_text(json.dumps(found, indent=2) + "\n")
    return dict(found["total"])
