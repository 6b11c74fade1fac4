"""Stage `data`: the data set, split."""

from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Load and split the data set that the build names."""
    from models import data

    asked = ctx.config.data
    dataset = data.load_named(asked.source, ctx.seed, asked.test_fraction, asked.validation_fraction)
    data.save(dataset, ctx.work / "data.safetensors")
    return {name: len(getattr(dataset, name)) for name in data.SPLITS} | {"classes": dataset.classes}
