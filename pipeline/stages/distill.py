"""Stage `distill`: the student, and the temperature curve."""

from pipeline.config.build import needed
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train the student by the build's losses, source and schedule."""
    from models.distill.method import is_live
    from pipeline.artefacts.training import (
        BASELINE_TRAINING,
        TEACHER_TRAINING,
        TRAINING,
        CurvePoint,
        Training,
    )
    from pipeline.stages.training import train_student, training_setup

    live = ctx.config.student_as(QuantizedStudent).augment is not None
    asked = needed(ctx.config.distill, "distill")
    recipe = asked.recipe()
    student = train_student(ctx, recipe, "student")
    baseline = BASELINE_TRAINING.read(ctx.input("baseline", BASELINE_TRAINING.name))
    setup = recipe.prepared(training_setup(ctx)(None))
    curve = setup.temperature_sweep(asked.temperatures, asked.sweep_epochs)
    temperatures = [loss.temperature for loss in asked.losses if loss.method == "softened-softmax"]
    found = Training(
        teacher=TEACHER_TRAINING.read(ctx.input("teacher", TEACHER_TRAINING.name)),
        student=student.history,
        baseline=baseline.history,
        zeros={"student": student.zeros, "baseline": baseline.zeros},
        temperature_curve=tuple(CurvePoint(**point) for point in curve),
        temperature=temperatures[0] if temperatures else None,
        teacher_in_every_step=is_live(recipe.needs, live),
    )
    TRAINING.save(ctx.work, found)
    return {"student": student.history.validation_score, "baseline": baseline.history.validation_score}
