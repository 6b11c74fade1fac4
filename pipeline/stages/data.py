"""Stage `data`: the data set, split."""

from pipeline.config_data import data_source
from pipeline.errors import ConfigError
from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Load and split the data set that the build names."""
    from models import data

    if ctx.config.data is None:
        raise ConfigError(f"{ctx.config.name}: data: missing; add it")
    dataset = data.load_source(data_source(ctx.config.data), ctx.seed)
    data.save(dataset, ctx.work / "data.safetensors")
    return {name: len(getattr(dataset, name)) for name in data.SPLITS} | {"classes": dataset.classes}
