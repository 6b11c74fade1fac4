"""A detector on its board: the stages of `retort detect`, beside those of a build."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from common.progress import Display
from hw.boards.boards import find_open
from models import data
from pipeline.config.build import Build
from pipeline.engine import engine
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.engine.store import Store
from pipeline.stages.reads import training
from pipeline.studies.detection import DetectionRun, make_detector, planned
from pipeline.studies.own_core import COMMON, bring, named, to_board

FOLDER, KIND = "detection", "detector"
OWN = ("detector", "bitstream", "verify")
"""The stages whose files a detector's folder has."""


@dataclass(frozen=True)
class DetectorBuild:
    """What detector to make, and whether to go on from its core to the board."""

    run: DetectionRun = field(default_factory=DetectionRun)
    bitstream: bool = True

    def stages(self) -> tuple[Stage, ...]:
        """The build's data, the detector, and the build's way from a core to the board."""
        detector = Stage(
            name="detector",
            version=2,
            inputs=("data",),
            config=self._key,
            tools=("torch", "brevitas", "lightning-fabric", "onnxruntime", "finn-plus", "amaranth", "pyosys"),
            run=partial(_make, run=self.run),
            outputs=(
                *("detection.json", "frozen.safetensors", "student.qonnx.onnx", "golden.onnx"),
                *("core.v", "io.json", "weights.bin", "scenes.safetensors"),
            ),
        )
        return (COMMON["data"], detector, *to_board("detector", read=("detector",), bitstream=self.bitstream))

    def _key(self, config: Build) -> object:
        """All that the detector depends on."""
        board = [config.board.name, config.board.shell, config.compile.multiply]
        return [asdict(self.run), training(config), board]


def detect(
    config: Build,
    wanted: DetectorBuild,
    store: Store,
    identify: engine.Identify,
    display: Display,
    folder: Path,
) -> Mapping[str, Any]:
    """Bring the detector, and all that is made of it, into the store, and copy it to `folder`.

    Gives what `pipeline.studies.detection.make_detector` found.

    Raises:
        ConfigError, CapacityError: see `pipeline.studies.detection.planned`; before any training.
        RetortError: see `pipeline.engine.engine.build`.
    """
    find_open(config.board.name)
    stages = wanted.stages()
    first = engine.build(named(config, KIND), stages, store, identify, until="data", progress=display)
    dataset = data.load(store.path(first.manifests["data"], "data.safetensors"))
    planned(config, dataset, wanted.run, fits=wanted.bitstream)
    result = bring(config, KIND, stages, OWN, store, identify, display, folder)
    return result.manifests["detector"].facts


def _make(ctx: StageContext, run: DetectionRun) -> Facts:
    dataset = data.load(ctx.input("data", "data.safetensors"))
    return make_detector(
        planned(ctx.config, dataset, run),
        dataset,
        ctx.work,
        work=ctx.work / "amaranth",
        log=ctx.log("detector.log"),
        step=ctx.progress,
    )
