"""Stage `verify`: the verification ladder over everything built."""

from pipeline.artefacts.hardware import PERFORMANCE
from pipeline.artefacts.verification import VERIFICATION
from pipeline.engine.stage import Facts, StageContext
from pipeline.ladder.climbing import climb, failure, hardware_stage
from pipeline.students import student_of


def run(ctx: StageContext) -> Facts:
    """Climb the ladder; the results stay when a rung fails, whose error is raised."""
    stage = hardware_stage(ctx.manifests)
    assert stage is not None, "the stage is declared with what a board gets"
    folder, key = ctx.lay_out("artefacts"), ctx.manifests[stage].key
    ladder = student_of(ctx.config).ladder()
    found = climb(ladder, ctx.config, folder, key, ctx.log("verification.log"), ctx.progress)
    # Logs that rungs name are beside the file, wherever both are copied to.
    text = VERIFICATION.text(tuple(found.rungs)).replace(f"{ctx.work}/", "")
    (ctx.work / VERIFICATION.name).write_text(text)
    if found.performance:
        PERFORMANCE.save(ctx.work, found.performance)
    failed = failure(found.rungs, ctx.config.name)
    if failed:
        raise failed
    return None
