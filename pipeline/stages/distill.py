"""Stage `distill`: the student, its twin without distillation, and the temperature curve."""

import json

from pipeline.config.build import distilled
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train both from the same initial weights; the twin learns the labels of the training data."""
    from models.distill import HardLabels
    from models.distill.method import is_live
    from models.distill.schedules.masks import zero_shares
    from models.distill.training.recipe import Recipe
    from models.distill.training.student_training import save_student
    from models.students.freeze import freeze
    from pipeline.stages.training import workshop

    config = distilled(ctx.config)
    recipe = config.distill.recipe()
    made = workshop(ctx)
    histories, zeros = {}, {}
    for name, each in (("student", recipe), ("baseline", Recipe(HardLabels()))):
        (ctx.partial / name).mkdir(parents=True, exist_ok=True)
        student, history = each.train(made(ctx.partial / name))
        save_student(student, ctx.work / f"{name}.safetensors")
        histories[name], zeros[name] = history, zero_shares(freeze(student))
    asked = config.distill
    curve = recipe.prepared(made(None)).temperature_sweep(asked.temperatures, asked.sweep_epochs)
    temperatures = [loss.temperature for loss in asked.losses if loss.method == "softened-softmax"]
    found = {
        "teacher": json.loads(ctx.input("teacher", "teacher_training.json").read_text()),
        **{name: history.to_json() for name, history in histories.items()},
        "zeros": zeros,
        "temperature_curve": curve,
        "temperature": temperatures[0] if temperatures else None,
        "teacher_in_every_step": is_live(recipe.needs, config.student.augment is not None),
    }
    (ctx.work / "training.json").write_text(json.dumps(found) + "\n")
    return {name: history.validation_score for name, history in histories.items()}
