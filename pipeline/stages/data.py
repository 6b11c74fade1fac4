"""Stage `data`: the data set, split."""

from common.errors import ConfigError
from pipeline.config.build import NetworkBuild
from pipeline.config.data import data_source
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Load and split the data set that the build names; a network made elsewhere says what it has to be."""
    from models import data
    from pipeline.artefacts.imported import load_contract

    if ctx.config.data is None:
        raise ConfigError(f"{ctx.config.name}: data: missing; add it")
    contract = None
    if isinstance(ctx.config, NetworkBuild):
        recorded = ctx.input("network", "recorded.safetensors") if ctx.config.network.recorded else None
        contract = load_contract(ctx.input("network", "network.json"), recorded)
    dataset = data.load_source(data_source(ctx.config.data), ctx.seed, contract=contract)
    data.save(dataset, ctx.work / "data.safetensors")
    return {name: len(getattr(dataset, name)) for name in data.SPLITS} | {"classes": dataset.classes}
