"""The integer reference of a network made elsewhere, and how far the two are apart."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from hw.dataflow import ArgMax, DataflowGraph
from models.metrics import accuracy
from pipeline.config import brought
from pipeline.errors import DataError
from pipeline.given import Trial, load_trial
from pipeline.stage import StageContext
from pipeline.verification.artefacts import run_onnx


def write(ctx: StageContext, graph: DataflowGraph) -> None:
    """Write `golden.onnx`, which gives logits also where the core gives a label, and `metrics.json`."""
    from hw.golden import golden_from_graph
    from models.export import save_model

    golden = ctx.work / "golden.onnx"
    save_model(golden_from_graph(_logits(graph)), golden)
    found = _measure(ctx, _trial(ctx), graph.shape)
    (ctx.work / "metrics.json").write_text(json.dumps(found, indent=2) + "\n")


def _logits(graph: DataflowGraph) -> DataflowGraph:
    if not isinstance(graph.layers[-1], ArgMax):
        return graph
    return replace(graph, layers=graph.layers[:-1], sources=graph.links[:-1])


def _trial(ctx: StageContext) -> Trial:
    asked = brought(ctx.config)
    return load_trial(
        ctx.input("network", "network.json"),
        ctx.input("data", "data.safetensors") if asked.data else None,
        ctx.input("network", "recorded.safetensors") if asked.network.recorded else None,
    )


def _measure(ctx: StageContext, trial: Trial, core: tuple[int, ...]) -> dict[str, Any]:
    """`metrics.json`: accuracies where there are labels, and the differences."""
    from hw.lowering.difference import between, execute_given

    golden, frames, labels = ctx.work / "golden.onnx", trial.frames(core), trial.labels
    (logits,) = run_onnx(golden, {"x": frames}, ["logits"])
    count = min(brought(ctx.config).verify.network_samples, len(frames))
    network = execute_given(
        ctx.input("network", "network.qonnx.onnx"),
        frames[:count],
        given=trial.entry.given,
        log=ctx.log("network.log"),
    )
    found: dict[str, Any] = {"difference": asdict(between(network, logits[:count].astype(np.int64)))}
    if trial.recorded:
        (again,) = run_onnx(golden, {"x": trial.recorded_frames(core)}, ["logits"])
        found["recorded_difference"] = asdict(trial.recorded_difference(again))
    if labels is not None:
        classes = logits.shape[1]
        if labels.max() >= classes:
            raise DataError(f"data: labels up to {labels.max()}; the network gives {classes} classes")
        confusion = np.zeros((classes, classes), np.int64)
        np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
        found["network_accuracy"] = accuracy(network, labels[:count])
        found["golden_accuracy"] = accuracy(logits, labels)
        found["confusion_matrix"] = confusion.tolist()
    return found
