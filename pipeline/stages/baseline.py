"""Stage `baseline`: the student trained on the labels alone, which distillation is measured against."""

from pipeline.config.build import needed
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train it from the student's initial weights, on the student's share of the training data."""
    from models.distill import HardLabels
    from models.distill.recipe import Recipe
    from pipeline.artefacts.training import BASELINE_TRAINING
    from pipeline.stages.training import train_student

    recipe = Recipe(HardLabels(), needed(ctx.config.distill, "distill").real_data())
    found = train_student(ctx, recipe, "baseline")
    BASELINE_TRAINING.save(ctx.work, found)
    return {"validation_score": found.history.validation_score}
