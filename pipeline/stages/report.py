"""Stage `report`: one page of everything."""

import json

from hw.tools.tools import fingerprint
from pipeline.engine.engine import BuildResult
from pipeline.engine.lock import LOCK
from pipeline.engine.outputs import lock_of
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Lay the other stages' files out as the build's folder has them, and write the page over them."""
    from pipeline.report import REPORT, render
    from pipeline.stages import stages_of

    folder = ctx.lay_out("folder")
    built = tuple(stage for stage in stages_of(ctx.config) if stage.name in ctx.manifests)
    tools = {stage.name: {name: fingerprint(name) for name in stage.tools_of(ctx.config)} for stage in built}
    lock = lock_of(BuildResult(ctx.config, built, ctx.manifests, tools, ()))
    (folder / LOCK).write_text(json.dumps(lock, indent=2, sort_keys=True))
    (ctx.work / REPORT).write_text(render(folder), encoding="utf-8")
    return None
