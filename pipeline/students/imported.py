"""Student kind `imported`: a network trained elsewhere, given as QONNX.

`golden.onnx` is made of FINN's graph of it. How far the two are apart is measured, and held to `[verify]`.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError
from pipeline.config.build import Build
from pipeline.config.imported import ImportedStudent, network_content, network_key
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.students.base import StudentKind, compile_stage, write_core

if TYPE_CHECKING:
    from hw.dataflow import DataflowGraph
    from hw.interface import Affine
    from models.data import InputContract
    from pipeline.artefacts.imported import Entry, Trial
    from pipeline.artefacts.metrics import Metrics
    from pipeline.ladder.climbing import Ladder


class Imported(StudentKind):
    """A network from a file."""

    evidence = ("network",)
    tools = ("qonnx", "onnxruntime", "finn-plus")

    def before_data(self, build: Build) -> tuple[Stage, ...]:  # noqa: D102
        asked = build.student_as(ImportedStudent)
        recorded = ("recorded.safetensors",) if asked.recorded else ()
        return (
            Stage(
                name="network",
                version=2,
                inputs=(),
                config=lambda _: network_key(asked),
                tools=("onnx", "qonnx"),
                run=read_network,
                outputs=("network.qonnx.onnx", "network.json", *recorded),
                seeded=False,
            ),
        )

    def stages(self, build: Build) -> tuple[Stage, ...]:  # noqa: D102
        return (
            compile_stage(
                build,
                compile_core,
                inputs=("network", "data") if build.data else ("network",),
                outputs=("golden.onnx", "metrics.json"),
                tools=("onnxruntime",),
                config=[build.verify.network_samples],
            ),
        )

    def ladder(self) -> "Ladder":  # noqa: D102
        from pipeline.ladder.imported import IMPORTED

        return IMPORTED

    def contract(self, ctx: StageContext) -> "InputContract":
        """What the network takes, in the order that what was recorded has."""
        from pipeline.artefacts.imported import load_contract

        asked = ctx.config.student_as(ImportedStudent)
        recorded = ctx.input("network", "recorded.safetensors") if asked.recorded else None
        return load_contract(ctx.input("network", "network.json"), recorded)


def read_network(ctx: StageContext) -> Facts:
    """Copy the network, in one file, and the recorded tensors as bytes; write what the network takes."""
    from hw.finn.execution import integers_of
    from pipeline.artefacts.imported import Entry, Recorded

    asked = ctx.config.student_as(ImportedStudent)
    copy = ctx.work / "network.qonnx.onnx"
    copy.write_bytes(network_content(asked))
    made = integers_of(copy, values=asked.given, log=ctx.log("network.log"))
    shape = made.layout.shape
    if asked.flattened and len(shape) > 1:
        raise ConfigError(f"student.flattened: the network takes {shape}, in a known order; remove the key")
    found = Entry(made.layout, asked.given, made.outputs, made.end, asked.flattened)
    found.save(ctx.work / "network.json")
    if asked.recorded:
        Recorded.read(Path(asked.recorded), found).save(ctx.work / "recorded.safetensors")
    return {"input_shape": list(shape)}


def compile_core(ctx: StageContext) -> Facts:
    """Lower the network, folded as the build file says; write its integer reference, metrics and core."""
    from hw.dataflow.fold import Fold
    from hw.finn.lowering import Folding, lower
    from pipeline.artefacts.imported import Entry

    asked = ctx.config.compile
    entry = Entry.load(ctx.input("network", "network.json"))
    if asked.output == "label" and entry.outputs == 1:
        raise ConfigError("compile.output: the label of a network with one output is always 0; give 'logits'")
    folds = tuple(Fold(fold.pe, fold.simd) for fold in asked.fold or ())
    model = lower(
        ctx.input("network", "network.qonnx.onnx"),
        folding=Folding(asked.target_cycles, folds),
        label=asked.output == "label",
        log=ctx.log("finn.log"),
        values=entry.values,
    )
    return write_core(
        ctx,
        model,
        lambda shape: _input_values(entry, shape),
        lambda graph, output: _write_reference(ctx, graph, output),
    )


def _input_values(entry: "Entry", shape: tuple[int, ...]) -> "tuple[Affine, ...]":
    """What the bytes of the core's frames, of `shape`, stand for."""
    from hw.interface import Affine

    pairs = entry.scaling.pairs
    if len(shape) == 1 and len(pairs) > 1:  # channel after channel where images are made flat
        pairs = [pair for pair in pairs for _ in range(shape[0] // len(pairs))]
    return tuple(Affine(*pair) for pair in pairs)


def _write_reference(ctx: StageContext, graph: "DataflowGraph", output: "Affine") -> None:
    """Write `golden.onnx`, which gives logits also where the core gives a label, and `metrics.json`.

    Its integers stand for the floats that `output` says.
    """
    from hw.dataflow import ArgMax
    from hw.dataflow.golden import golden_from_graph
    from models.export import save_model
    from pipeline.artefacts.metrics import METRICS

    if isinstance(graph.layers[-1], ArgMax):
        graph = replace(graph, layers=graph.layers[:-1], sources=graph.links[:-1])
    save_model(golden_from_graph(graph), ctx.work / "golden.onnx")
    METRICS.save(ctx.work, _measure(ctx, _trial(ctx), output))


def _trial(ctx: StageContext) -> "Trial":
    from pipeline.artefacts.imported import load_trial

    recorded = ctx.config.student_as(ImportedStudent).recorded
    return load_trial(
        ctx.input("network", "network.json"),
        ctx.input("data", "data.safetensors") if ctx.config.data else None,
        ctx.input("network", "recorded.safetensors") if recorded else None,
    )


def _measure(ctx: StageContext, trial: "Trial", output: "Affine") -> "Metrics":
    """Scores where there are labels, and the differences."""
    import numpy as np

    from hw.finn.execution import execute_imported
    from hw.imported.difference import between
    from pipeline.artefacts.imported import classified
    from pipeline.artefacts.metrics import Metrics
    from pipeline.ladder.execution import run_onnx

    golden, frames, labels = ctx.work / "golden.onnx", trial.frames, trial.labels
    (logits,) = run_onnx(golden, {"x": trial.core_frames}, ["logits"])
    count = min(ctx.config.verify.network_samples, len(frames))
    network = execute_imported(
        ctx.input("network", "network.qonnx.onnx"),
        frames[:count],
        values=trial.entry.values,
        log=ctx.log("network.log"),
    )
    found = Metrics("accuracy", difference=between(network, logits[:count].astype(np.int64), output))
    if trial.recorded:
        (again,) = run_onnx(golden, {"x": trial.recorded_core_frames}, ["logits"])
        found = replace(found, recorded_difference=trial.recorded_difference(again, output))
    if labels is None:
        return found
    classes = classified(output.scale * logits + output.offset)
    confusion = np.zeros((max(2, logits.shape[1]),) * 2, np.int64)
    np.add.at(confusion, (labels, classes), 1)
    return replace(
        found,
        network=float(np.mean(classified(network) == labels[:count])),
        golden=float(np.mean(classes == labels)),
        confusion_matrix=tuple(map(tuple, confusion.tolist())),
    )
