"""Stage `distill`: the student, and the temperature curve."""

import json

from pipeline.config.build import distilled
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train the student by the build's losses, source and schedule."""
    from models.distill.method import is_live
    from pipeline.stages.training import train_student, workshop

    config = distilled(ctx.config)
    asked, recipe = config.distill, config.distill.recipe()
    student = train_student(ctx, recipe, "student")
    baseline = json.loads(ctx.input("baseline", "baseline_training.json").read_text())
    curve = recipe.prepared(workshop(ctx)(None)).temperature_sweep(asked.temperatures, asked.sweep_epochs)
    temperatures = [loss.temperature for loss in asked.losses if loss.method == "softened-softmax"]
    found = {
        "teacher": json.loads(ctx.input("teacher", "teacher_training.json").read_text()),
        "student": student["history"],
        "baseline": baseline["history"],
        "zeros": {"student": student["zeros"], "baseline": baseline["zeros"]},
        "temperature_curve": curve,
        "temperature": temperatures[0] if temperatures else None,
        "teacher_in_every_step": is_live(recipe.needs, config.student.augment is not None),
    }
    (ctx.work / "training.json").write_text(json.dumps(found) + "\n")
    return {"student": student["validation_score"], "baseline": baseline["validation_score"]}
