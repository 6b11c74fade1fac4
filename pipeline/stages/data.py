"""Stage `data`: the data set, split."""

from pipeline.config.build import needed
from pipeline.config.data import data_source
from pipeline.config.imported import ImportedStudent
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Load and split the data set that the build names; a network made elsewhere says what it has to be."""
    from models import data
    from pipeline.artefacts.imported import load_contract

    asked, student, contract = needed(ctx.config.data, "data"), ctx.config.student, None
    if isinstance(student, ImportedStudent):
        recorded = ctx.input("network", "recorded.safetensors") if student.recorded else None
        contract = load_contract(ctx.input("network", "network.json"), recorded)
    dataset = data.load_source(data_source(asked), ctx.seed, contract=contract)
    data.save(dataset, ctx.work / "data.safetensors")
    return {name: len(getattr(dataset, name)) for name in data.SPLITS} | {"classes": dataset.classes}
