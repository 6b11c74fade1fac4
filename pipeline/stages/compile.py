"""Stage `compile`: FINN's hardware graph of the student, and its core."""

import json
from typing import Any

from hw import dataflow
from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Lower, fold, read into the dataflow form, and write `core.v`."""
    from hw.core import design
    from hw.finn_reader import read
    from hw.lowering import Fold, Folding, lower, save_hardware

    asked = ctx.config.compile
    folds = tuple(Fold(fold.pe, fold.simd) for fold in asked.fold or ())
    model = lower(
        ctx.input("export", "student.qonnx.onnx"),
        folding=Folding(asked.target_cycles, folds),
        label=asked.output == "label",
        log=ctx.log("finn.log"),
    )
    graph = read(model)
    save_hardware(model, ctx.work / "hardware.onnx")
    core = design(graph, ctx.work / "amaranth")
    (ctx.work / "core.v").write_text(core.verilog)
    core.interface.save(ctx.work / "io.json")
    layers = [_described(layer) for layer in graph.layers]
    (ctx.work / "layers.json").write_text(json.dumps(layers, indent=2) + "\n")
    return {"interval_bound_cycles": graph.interval_bound}


def _described(layer: dataflow.Layer) -> dict[str, Any]:
    """A layer for `layers.json`: what it is, its fold, its cycles a frame."""
    found: dict[str, Any] = {"name": layer.name, "kind": type(layer).__name__, "cycles": layer.cycles}
    match layer:
        case dataflow.MatrixVector():
            outputs, inputs = layer.weights.shape
            found |= {"shape": f"{inputs} × {outputs}", "pe": layer.pe, "simd": layer.simd}
            found |= {
                "input_bits": layer.x_bits,
                "weights": [int(layer.weights.min()), int(layer.weights.max())],
            }
        case dataflow.Threshold():
            found |= {"shape": f"{layer.thresholds.shape[0]}", "pe": layer.pe, "output_bits": layer.bits}
        case dataflow.WidthConverter():
            found |= {"shape": f"{layer.elements}", "lanes": f"{layer.i_lanes} to {layer.o_lanes}"}
        case dataflow.Fifo():
            found |= {"shape": f"{layer.elements}", "lanes": f"{layer.i_lanes}", "depth": layer.depth}
        case dataflow.ArgMax():
            found |= {"shape": f"{layer.channels}", "pe": layer.pe}
    return found
