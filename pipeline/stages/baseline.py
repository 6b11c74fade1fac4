"""Stage `baseline`: the student trained on the labels alone, which distillation is measured against."""

import json

from pipeline.config.build import distilled
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train it from the student's initial weights, on the student's share of the training data."""
    from models.distill import HardLabels
    from models.distill.training.recipe import Recipe
    from pipeline.stages.training import train_student

    recipe = Recipe(HardLabels(), distilled(ctx.config).distill.real_data())
    found = train_student(ctx, recipe, "baseline")
    (ctx.work / "baseline_training.json").write_text(json.dumps(found) + "\n")
    return {"validation_score": found["validation_score"]}
