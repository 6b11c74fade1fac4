"""Stage `data`: the data set, split."""

from pipeline.config.build import needed
from pipeline.config.data import data_source
from pipeline.engine.stage import Facts, StageContext
from pipeline.students import student_of


def run(ctx: StageContext) -> Facts:
    """Load and split the data set that the build names, as its kind of student and its task want it."""
    from models import data

    asked = needed(ctx.config.data, "data")
    contract = student_of(ctx.config).contract(ctx)
    dataset = data.load_source(data_source(asked), ctx.seed, contract=contract)
    dataset = ctx.config.task.prepare(dataset, ctx.seed)
    data.save(dataset, ctx.work / "data.safetensors")
    return {name: len(getattr(dataset, name)) for name in data.SPLITS} | {"classes": dataset.classes}
