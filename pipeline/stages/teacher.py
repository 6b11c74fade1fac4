"""Stage `teacher`: the ensemble, and its logits on everything that a student will see."""

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train the members; evaluate them once on the transfer set and on the test split."""
    from models import data
    from models.distill.training import transfer
    from models.teachers import ensemble as teacher
    from models.training.evaluation import deterministic
    from pipeline.artefacts.metrics import save_teacher_logits
    from pipeline.artefacts.training import TEACHER_TRAINING
    from pipeline.students import student_of
    from pipeline.students.training import teacher_config

    dataset = data.load(ctx.input("data", "data.safetensors"))
    # The teacher does not depend on the student, but none is trained for a student that cannot be built.
    student_of(ctx.config).check(ctx.config, dataset, ctx.seed)
    config = teacher_config(ctx.config, ctx.seed)
    ensemble = teacher.train_ensemble(config, dataset, ctx.partial, ctx.progress)
    teacher.save_ensemble(ensemble.members, ctx.work / "teacher.safetensors")
    with deterministic(config.training.threads):
        examples = teacher.make_transfer_set(ensemble.members, dataset, config.views, config.mirror)
        logits = teacher.ensemble_logits(ensemble.members, dataset.test.x)
    transfer.save(examples, ctx.work / "transfer.safetensors")
    save_teacher_logits(logits, ctx.work / "teacher_logits.safetensors")
    TEACHER_TRAINING.save(ctx.work, tuple(ensemble.histories))
    return {"validation_score": [history.validation_score for history in ensemble.histories]}
