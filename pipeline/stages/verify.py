"""Stage `verify`: the verification ladder over everything built."""

from pipeline.artefacts.hardware import PERFORMANCE
from pipeline.artefacts.verification import VERIFICATION
from pipeline.engine.stage import Facts, StageContext
from pipeline.ladder.climbing import Climbed, climb, failure, hardware_stage


def run(ctx: StageContext) -> Facts:
    """Climb the ladder; its findings stay when a rung fails."""
    folder = ctx.lay_out("artefacts")
    key = ctx.manifests[hardware_stage(ctx.manifests)].key
    leave(ctx, climb(ctx.config, folder, key, ctx.log("verification.log"), ctx.progress))
    return None


def leave(ctx: StageContext, found: Climbed) -> None:
    """Write what was found; raises `VerificationError` where a rung failed, or what kept one from that."""
    # Logs that rungs name are beside the file, wherever both are copied to.
    text = VERIFICATION.text(tuple(found.rungs)).replace(f"{ctx.work}/", "")
    (ctx.work / VERIFICATION.name).write_text(text)
    if found.performance:
        PERFORMANCE.save(ctx.work, found.performance)
    failed = failure(found.rungs, ctx.config.name)
    if failed:
        raise failed
