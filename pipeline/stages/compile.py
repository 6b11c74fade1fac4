"""Stage `compile`: FINN's hardware graph of the network, and its core."""

from dataclasses import replace
from typing import Any

from common.errors import ConfigError
from hw import dataflow
from hw.interface import Affine
from pipeline.artefacts.hardware import LAYERS, Layer
from pipeline.config.imported import ImportedStudent
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Lower, fold, read into the dataflow form, and write `core.v`.

    `weights.bin` holds what has to be loaded into single-port RAM; nothing, where all is in the bitstream.
    """
    from hw.boards.boards import find
    from hw.core import design
    from hw.finn.lowering import kept_output, save_hardware
    from hw.finn.reader import joined, read_layers
    from hw.mapping.block_rams import with_products, with_resources

    brings = isinstance(ctx.config.student, ImportedStudent)
    model = _network(ctx) if brings else _student(ctx)
    reading = read_layers(model)
    board = find(ctx.config.board.name)
    budget = board.budget_of(ctx.config.board.shell)
    if board.family.uses_vivado:  # its core is simulated beside FINN's RTL, and never placed
        graph = with_products(joined(reading), "lut")
    else:
        graph = with_resources(joined(reading), ctx.config.compile.multiply, board.family, budget)
    output = kept_output(model)
    if brings:
        from pipeline.stages.reference import write

        write(ctx, graph, output)
    save_hardware(model, ctx.work / "hardware.onnx")
    core = design(graph, ctx.work / "amaranth")
    (ctx.work / "core.v").write_text(core.verilog)
    interface = replace(
        core.interface,
        input_values=_input_values(ctx, graph.shape),
        output_values=output if ctx.config.compile.output == "logits" else None,
    )
    interface.save(ctx.work / "io.json")
    if budget.single_port_rams:
        (ctx.work / "weights.bin").write_bytes(core.weights)
    layers = (_described(layer, reading.origins.get(layer.name)) for layer in graph.layers)
    LAYERS.save(ctx.work, tuple(layers))
    return {"interval_bound_cycles": graph.interval_bound}


def _student(ctx: StageContext) -> Any:
    """The hardware graph of the student that stage `export` left, folded as it was sized."""
    from hw.finn.lowering import Folding, lower
    from pipeline.sizing.choice import load_sized

    sized = load_sized(ctx.input("size", "sized.json"))
    return lower(
        ctx.input("export", "student.qonnx.onnx"),
        folding=Folding(folds=sized.folds),
        label=ctx.config.compile.output == "label",
        log=ctx.log("finn.log"),
    )


def _network(ctx: StageContext) -> Any:
    """The hardware graph of a network made elsewhere, folded as the build file says."""
    from hw.finn.lowering import Fold, Folding, lower
    from pipeline.artefacts.imported import Entry

    asked = ctx.config.compile
    entry = Entry.load(ctx.input("network", "network.json"))
    if asked.output == "label" and entry.outputs == 1:
        raise ConfigError("compile.output: the label of a network with one output is always 0; give 'logits'")
    folds = tuple(Fold(fold.pe, fold.simd) for fold in asked.fold or ())
    return lower(
        ctx.input("network", "network.qonnx.onnx"),
        folding=Folding(asked.target_cycles, folds),
        label=asked.output == "label",
        log=ctx.log("finn.log"),
        given=entry.given,
    )


def _input_values(ctx: StageContext, shape: tuple[int, ...]) -> tuple[Affine, ...]:
    """What the bytes of the core's frames, of `shape`, stand for."""
    from models import data
    from pipeline.artefacts.imported import Entry

    if isinstance(ctx.config.student, ImportedStudent):
        pairs = Entry.load(ctx.input("network", "network.json")).scaling.pairs
        if len(shape) == 1 and len(pairs) > 1:  # channel after channel where images are made flat
            pairs = [pair for pair in pairs for _ in range(shape[0] // len(pairs))]
    else:
        pairs = data.load(ctx.input("data", "data.safetensors")).byte_values
    return tuple(Affine(*pair) for pair in pairs)


def _described(layer: dataflow.Layer, origin: str | None) -> Layer:
    """A layer for `layers.json`; `origin` is what the network's file calls its output."""
    found = Layer(layer.name, type(layer).__name__, layer.cycles, origin)
    match layer:
        case dataflow.MatrixVector() | dataflow.Depthwise():
            rows, columns = layer.weights.shape
            least, greatest = int(layer.weights.min()), int(layer.weights.max())
            found = replace(
                found,
                shape=f"{columns} × {rows}",
                vectors=layer.vectors,
                pe=layer.pe,
                simd=layer.simd,
                input_bits=layer.x_bits,
                weights=(least, greatest),
            )
            if isinstance(layer, dataflow.MatrixVector):
                memory = layer.memory if layer.memory != "rom" else None
                found = replace(found, multiply=layer.multiply, memory=memory)
            return found
        case dataflow.Threshold():
            shape = f"{layer.channels}"
            return replace(found, shape=shape, vectors=layer.vectors, pe=layer.pe, output_bits=layer.bits)
        case dataflow.Window():
            lanes = f"{layer.i_lanes} to {layer.o_lanes}"
            return replace(found, shape=_sizes(layer.shape), kernel=_sizes(layer.kernel), lanes=lanes)
        case dataflow.MaxPool():
            return replace(
                found, shape=_sizes(layer.shape), kernel=_sizes(layer.size), lanes=f"{layer.lanes}"
            )
        case dataflow.WidthConverter():
            return replace(found, shape=f"{layer.elements}", lanes=f"{layer.i_lanes} to {layer.o_lanes}")
        case dataflow.Fifo():
            return replace(found, shape=f"{layer.elements}", lanes=f"{layer.lanes}", depth=layer.depth)
    return replace(found, shape=f"{layer.i_elements}", lanes=f"{layer.i_lanes}")


def _sizes(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))
