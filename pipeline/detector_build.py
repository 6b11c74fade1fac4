"""A detector on its board: the stages of `retort detect`, beside those of a build."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hw.boards import find_open
from models import data
from pipeline import engine, outputs
from pipeline.config import Build, BuildConfig, distilled
from pipeline.detection import DetectionRun, make_detector, planned
from pipeline.progress import Display
from pipeline.stage import Facts, Stage, StageContext
from pipeline.stages import STAGES
from pipeline.stages.reads import chip_tools
from pipeline.store import Store

FOLDER = "detection"
OWN = ("detector", "bitstream", "verify")
"""The stages whose files a detector's folder has."""


@dataclass(frozen=True)
class DetectorBuild:
    """What detector to make, and whether to go on from its core to the board."""

    run: DetectionRun = field(default_factory=DetectionRun)
    bitstream: bool = True

    def stages(self) -> tuple[Stage, ...]:
        """The build's data, the detector, and the build's way from a core to the board."""
        common = {stage.name: stage for stage in STAGES}
        detector = Stage(
            name="detector",
            version=1,
            inputs=("data",),
            config=self._key,
            tools=("torch", "brevitas", "lightning-fabric", "onnxruntime", "finn-plus", "amaranth", "pyosys"),
            run=partial(_make, run=self.run),
            outputs=(
                *("detection.json", "frozen.safetensors", "student.qonnx.onnx", "golden.onnx"),
                *("core.v", "io.json", "weights.bin", "scenes.safetensors"),
            ),
        )
        placed = (replace(common["bitstream"], inputs=("detector",)),) if self.bitstream else ()
        verify = replace(
            common["verify"],
            version=1,
            inputs=("detector", *(stage.name for stage in placed)),
            config=lambda config: [
                config.verify.model_dump(mode="json"),
                config.board.model_dump(mode="json"),
            ],
            tools=chip_tools if self.bitstream else ("verilator", "g++", "make"),
            run=_verify,
        )
        return (common["data"], detector, *placed, verify)

    def _key(self, config: Build) -> object:
        """All that the detector depends on."""
        build = distilled(config)
        training = build.training.model_dump(mode="json", exclude={"checkpoint_every"})
        board = [build.board.name, build.board.shell, build.compile.multiply]
        return [asdict(self.run), training, board]


def detect(
    config: BuildConfig,
    wanted: DetectorBuild,
    store: Store,
    identify: engine.Identify,
    display: Display,
    folder: Path,
) -> Mapping[str, Any]:
    """Bring the detector, and all that is made of it, into the store, and copy it to `folder`.

    Gives what `pipeline.detection.make_detector` found.

    Raises:
        ConfigError, CapacityError: see `pipeline.detection.planned`; before any training.
        RetortError: see `pipeline.engine.build`.
    """
    find_open(config.board.name)
    # Under a name of its own, so that neither explains the other's stages by its own last ones.
    named, stages = config.model_copy(update={"name": f"{config.name}-detector"}), wanted.stages()
    first = engine.build(named, stages, store, identify, until="data", progress=display)
    dataset = data.load(store.path(first.manifests["data"], "data.safetensors"))
    planned(config, dataset, wanted.run, fits=wanted.bitstream)
    result = engine.build(
        named,
        stages,
        store,
        identify,
        progress=display,
        keep_failed=lambda stage, work: outputs.keep_failed(work, folder),
    )
    own = tuple(stage for stage in result.stages if stage.name in OWN)
    outputs.export(replace(result, stages=own), store, folder)
    return result.manifests["detector"].facts


def _make(ctx: StageContext, run: DetectionRun) -> Facts:
    dataset = data.load(ctx.input("data", "data.safetensors"))
    return make_detector(
        planned(distilled(ctx.config), dataset, run),
        dataset,
        ctx.work,
        work=ctx.work / "amaranth",
        log=ctx.log("detector.log"),
        step=ctx.progress,
    )


def _verify(ctx: StageContext) -> Facts:
    """Climb from golden to the core, and on to the board where there is a bitstream."""
    from pipeline.stages.verify import leave
    from pipeline.verification import climb_own

    folder = ctx.lay_out("artefacts")
    keys = {name: manifest.key for name, manifest in ctx.manifests.items()}
    leave(ctx, climb_own(ctx.config, folder, keys, ctx.log("verification.log"), ctx.progress))
    return None
