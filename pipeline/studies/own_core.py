"""Cores that compute no build's student: the stages that take them to the build's board, and running them."""

from dataclasses import replace
from pathlib import Path

from common.progress import Display
from pipeline.config.build import NAME_LENGTH, Build
from pipeline.engine import engine, outputs
from pipeline.engine.engine import BuildResult
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.engine.store import Store
from pipeline.stages import STAGES
from pipeline.stages.reads import chip_tools

COMMON = {stage.name: stage for stage in STAGES}


def to_board(source: str, *, read: tuple[str, ...], bitstream: bool) -> tuple[Stage, ...]:
    """The stages after `source`, which makes the core: its ladder, and before that the bitstream if wanted.

    The ladder reads the outputs of the stages `read`.
    """
    placed = (replace(COMMON["bitstream"], inputs=(source,)),) if bitstream else ()
    verify = replace(
        COMMON["verify"],
        version=2,
        inputs=(*read, *(stage.name for stage in placed)),
        config=lambda config: [config.verify.model_dump(mode="json"), config.board.model_dump(mode="json")],
        tools=chip_tools if bitstream else ("verilator", "g++", "make"),
        run=_verify,
    )
    return (*placed, verify)


def bring(
    config: Build,
    kind: str,
    stages: tuple[Stage, ...],
    own: tuple[str, ...],
    store: Store,
    identify: engine.Identify,
    display: Display,
    folder: Path,
) -> BuildResult:
    """Run the stages of a `kind` of core, and copy to `folder` what those named in `own` left.

    Raises:
        RetortError: see `pipeline.engine.engine.build`.
    """
    result = engine.build(
        named(config, kind),
        stages,
        store,
        identify,
        progress=display,
        keep_failed=lambda stage, work: outputs.keep_failed(work, folder),
    )
    exported = tuple(stage for stage in result.stages if stage.name in own)
    outputs.export(replace(result, stages=exported), store, folder)
    return result


def named(config: Build, kind: str) -> Build:
    """The build under a name of its own, so that neither explains the other's stages by its own last ones."""
    first = config.name[: NAME_LENGTH - len(kind) - 1].rstrip("-")
    return config.model_copy(update={"name": f"{first}-{kind}"})


def _verify(ctx: StageContext) -> Facts:
    """Climb from the reference to its core, and on to the board where there is a bitstream."""
    from pipeline.ladder.own import climb_own
    from pipeline.stages.verify import leave

    folder = ctx.lay_out("artefacts")
    keys = {name: manifest.key for name, manifest in ctx.manifests.items()}
    leave(ctx, climb_own(ctx.config, folder, keys, ctx.log("verification.log"), ctx.progress))
    return None
