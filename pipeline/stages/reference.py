"""The integer reference of a network made elsewhere, and how far the two are apart."""

from dataclasses import replace

import numpy as np

from hw.dataflow import ArgMax, DataflowGraph
from hw.imported.difference import between
from hw.interface import Affine
from pipeline.artefacts.imported import Trial, classified, load_trial
from pipeline.artefacts.metrics import METRICS, Metrics
from pipeline.config.imported import ImportedStudent
from pipeline.engine.stage import StageContext
from pipeline.ladder.artefacts import run_onnx


def write(ctx: StageContext, graph: DataflowGraph, output: Affine) -> None:
    """Write `golden.onnx`, which gives logits also where the core gives a label, and `metrics.json`.

    Its integers stand for the floats that `output` says.
    """
    from hw.dataflow.golden import golden_from_graph
    from models.export import save_model

    golden = ctx.work / "golden.onnx"
    save_model(golden_from_graph(_logits(graph)), golden)
    METRICS.save(ctx.work, _measure(ctx, _trial(ctx), output))


def _logits(graph: DataflowGraph) -> DataflowGraph:
    if not isinstance(graph.layers[-1], ArgMax):
        return graph
    return replace(graph, layers=graph.layers[:-1], sources=graph.links[:-1])


def _trial(ctx: StageContext) -> Trial:
    asked = ctx.config
    return load_trial(
        ctx.input("network", "network.json"),
        ctx.input("data", "data.safetensors") if asked.data else None,
        ctx.input("network", "recorded.safetensors") if asked.student_as(ImportedStudent).recorded else None,
    )


def _measure(ctx: StageContext, trial: Trial, output: Affine) -> Metrics:
    """Scores where there are labels, and the differences."""
    from hw.finn.lowering.reference import execute_given

    golden, frames, labels = ctx.work / "golden.onnx", trial.frames, trial.labels
    (logits,) = run_onnx(golden, {"x": trial.core_frames}, ["logits"])
    count = min(ctx.config.verify.network_samples, len(frames))
    network = execute_given(
        ctx.input("network", "network.qonnx.onnx"),
        frames[:count],
        given=trial.entry.given,
        log=ctx.log("network.log"),
    )
    found = Metrics("accuracy", difference=between(network, logits[:count].astype(np.int64), output))
    if trial.recorded:
        (again,) = run_onnx(golden, {"x": trial.recorded_core_frames}, ["logits"])
        found = replace(found, recorded_difference=trial.recorded_difference(again, output))
    if labels is None:
        return found
    given = classified(output.scale * logits + output.offset)
    confusion = np.zeros((max(2, logits.shape[1]),) * 2, np.int64)
    np.add.at(confusion, (labels, given), 1)
    return replace(
        found,
        network=float(np.mean(classified(network) == labels[:count])),
        golden=float(np.mean(given == labels)),
        confusion_matrix=tuple(map(tuple, confusion.tolist())),
    )
