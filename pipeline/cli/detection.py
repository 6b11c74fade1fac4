"""`retort detect`: distilled detectors on scenes of a build's pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import ConfigError
from hw.tools.tools import fingerprint
from pipeline.artefacts.verification import VERIFICATION
from pipeline.cli.app import (
    DEFAULT_STORE,
    AsJson,
    BuildFile,
    StoreFolder,
    print_json,
    print_table,
    say,
    shown,
)
from pipeline.cli.folder import rung_rows
from pipeline.config.checks import load_checked
from pipeline.engine.store import Store


def detect(
    ctx: typer.Context,
    file: BuildFile,
    side: Annotated[
        int | None,
        typer.Option(max=1024, help="Pixels of a scene each way; else three of its smallest objects."),
    ] = None,
    scenes: Annotated[int, typer.Option(max=100_000, help="Scenes to learn from.")] = 1500,
    test_scenes: Annotated[int, typer.Option(max=100_000, help="Scenes to measure and to verify on.")] = 300,
    widths: Annotated[str, typer.Option(help="The student's channels, stage by stage.")] = "8,16,24",
    teacher_widths: Annotated[str, typer.Option(help="The teacher's.")] = "16,32,64",
    bits: Annotated[
        int, typer.Option(max=8, help="Of the student's weights and activations; its head has 8.")
    ] = 4,
    hard_label_weight: Annotated[float, typer.Option(max=1, help="mu; 1 for no soft targets.")] = 0.5,
    background_weight: Annotated[float, typer.Option(max=1e6, help="w0, in the soft targets.")] = 1.5,
    temperature: Annotated[float, typer.Option(max=10_000, help="Of the soft targets.")] = 1.0,
    box_weight: Annotated[float, typer.Option(max=1e6, help="lambda.")] = 1.0,
    bounded_weight: Annotated[float, typer.Option(max=1e6, help="nu; 0 for no teacher-bounded loss.")] = 0.5,
    margin: Annotated[float, typer.Option(max=1e6, help="m, in the teacher-bounded loss.")] = 0.0,
    hint_weight: Annotated[float, typer.Option(max=1e6, help="gamma; 0 for no hint.")] = 0.5,
    hint_layer: Annotated[
        str, typer.Option(help="The student's, such as layer2; backbone is the last before the head.")
    ] = "backbone",
    epochs: Annotated[int, typer.Option(max=100_000, help="Of each student.")] = 20,
    teacher_epochs: Annotated[int, typer.Option(max=100_000, help="Of the teacher.")] = 10,
    seeds: Annotated[int, typer.Option(max=1_000, help="Students of each kind, with other seeds.")] = 3,
    cycles: Annotated[
        int, typer.Option(max=1_000_000_000, help="That a scene may take in the core.")
    ] = 20_000,
    bitstream: Annotated[
        bool, typer.Option("--bitstream/--no-bitstream", help="Whether to go on from the core to the board.")
    ] = True,
    out: Annotated[Path, typer.Option(help="The build's folder is made in this one.")] = Path("out"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Distil an object detector (Chen et al., NeurIPS 2017), its core, and the board's bitstream."""
    config = load_checked(file)
    from models.tasks.detection.losses import DetectionLoss
    from models.tasks.detection.networks import DetectorConfig
    from pipeline.studies.detection import DetectionRun
    from pipeline.studies.detector_build import FOLDER, DetectorBuild
    from pipeline.studies.detector_build import detect as run

    loss = DetectionLoss(
        hard_label_weight=hard_label_weight,
        background_weight=background_weight,
        temperature=temperature,
        box_weight=box_weight,
        bounded_weight=bounded_weight,
        margin=margin,
        hint_weight=hint_weight,
        hint_layer=hint_layer,
    )
    networks = DetectorConfig(
        _numbers("--widths", widths),
        _numbers("--teacher-widths", teacher_widths),
        weight_bits=bits,
        activation_bits=bits,
    )
    wanted = DetectionRun(
        loss,
        networks,
        side=side,
        scenes=scenes,
        test_scenes=test_scenes,
        epochs=epochs,
        teacher_epochs=teacher_epochs,
        seeds=seeds,
        cycles=cycles,
    )
    folder = out / config.name / FOLDER
    with shown(ctx, as_json) as display:
        found = run(config, DetectorBuild(wanted, bitstream), Store(store), fingerprint, display, folder)
    rungs = VERIFICATION.load(folder)
    if as_json:
        print_json({**found, "rungs": VERIFICATION.plain(rungs), "folder": str(folder)})
        return
    _tell(found)
    print_table(rung_rows(rungs))
    say(f"files in {folder}")


def _tell(found: Mapping[str, Any]) -> None:
    say(f"mean average precision at IoU 0.5, {found['objects']} objects in the test scenes")
    rows = [
        (title, f"{found[key]['mean']:.2%}", f"{found[key]['interval']:.2%}")
        for title, key in (("student, distilled", "distilled"), ("student, labels only", "labels"))
    ]
    print_table([("", "mAP", "interval"), ("teacher", f"{found['teacher']:.2%}", ""), *rows])
    made = found["hardware"]
    say(
        f"core: logits and boxes of all cells, a scene every {made['interval_bound_cycles']} cycles,"
        f" {made['scenes_per_second']:,.0f} a second on {made['board']}, about {made['estimate']['luts']:,}"
        f" of its {made['budget']['luts']:,} LUTs; host: softmax, boxes in pixels, suppression"
    )


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option}: '{text}' is no list of numbers; give e.g. 8,12,16") from error
