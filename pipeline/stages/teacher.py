"""Stage `teacher`: the teacher, and its outputs on all that a student will see."""

from pipeline.config.build import needed
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Make the teacher; ask it once about the transfer set and the test split."""
    from models import data
    from models.distill.training import transfer
    from models.training import checkpoint
    from pipeline.artefacts.metrics import save_teacher_logits
    from pipeline.artefacts.training import TEACHER_TRAINING
    from pipeline.students import student_of
    from pipeline.students.training import teacher_setup

    dataset = data.load(ctx.input("data", "data.safetensors"))
    # The teacher does not depend on the student, but none is trained for a student that cannot be built.
    student_of(ctx.config).check(ctx.config, dataset, ctx.seed)
    setup = teacher_setup(ctx.config, dataset, ctx.seed, ctx.partial, ctx.progress)
    found = needed(ctx.config.teacher, "teacher").make(setup)
    checkpoint.save(ctx.work / "teacher.safetensors", found.state)
    transfer.save(found.transfer, ctx.work / "transfer.safetensors")
    save_teacher_logits(found.test, ctx.work / "teacher_logits.safetensors")
    TEACHER_TRAINING.save(ctx.work, found.histories)
    return {"validation_score": [history.validation_score for history in found.histories]}
