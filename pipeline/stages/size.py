"""Stage `size`: the student that fits the board, chosen by short distillations."""

from pipeline.config.build import needed
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Write `sized.json`: what is chosen, the folds, the estimate against the budget."""
    from models import data
    from models.distill.training import transfer
    from pipeline.sizing.run import size
    from pipeline.stages.training import training_config

    config = ctx.config
    found = size(
        config,
        data.load(ctx.input("data", "data.safetensors")),
        transfer.load(ctx.input("teacher", "transfer.safetensors")),
        needed(config.distill, "distill").recipe().loss,
        training_config(config, config.student_as(QuantizedStudent), ctx.seed),
        ctx.partial,
        ctx.progress,
    )
    found.save(ctx.work / "sized.json")
    return {
        "chosen": dict(found.chosen),
        "binding": found.details["binding"],
        "interval_cycles": found.details["interval_cycles"],
        "limited_by": found.details["limited_by"],
    }
