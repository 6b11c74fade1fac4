"""What a kind of student supplies, and how its core is written."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from hw.boards.boards import find
from pipeline.artefacts.hardware import LAYERS, Layer
from pipeline.config.build import Build, needed
from pipeline.engine.stage import Facts, Stage, StageContext

if TYPE_CHECKING:
    from hw import dataflow
    from hw.interface import Affine
    from models.data import Dataset, InputContract
    from pipeline.ladder.climbing import Ladder


class StudentKind(ABC):
    """A kind of student: its stages, its rungs, and what it asks of teacher and data.

    Attributes:
        evidence: those of its stages whose files its rungs read, `compile` aside.
        tools: what the rungs up to its integer reference call.
    """

    evidence: ClassVar[tuple[str, ...]]
    tools: ClassVar[tuple[str, ...]]

    def before_data(self, build: Build) -> tuple[Stage, ...]:
        """Its stages that the data depend on."""
        return ()

    @abstractmethod
    def stages(self, build: Build) -> tuple[Stage, ...]:
        """Its stages after data and teacher. The last is `compile`, which leaves the core."""

    @abstractmethod
    def ladder(self) -> "Ladder":
        """Its rungs up to the integer reference."""

    def contract(self, ctx: StageContext) -> "InputContract | None":
        """What the data set has to be made of, where the student decides."""
        return None

    def check(self, build: Build, dataset: "Dataset", seed: int) -> None:  # noqa: B027
        """Raise `RetortError` before the teacher is trained for a student that cannot be made."""


def training_key(config: Build) -> dict[str, object]:
    """What of `[training]` and `[task]` changes weights; how often a checkpoint is written does not."""
    training = needed(config.training, "training").model_dump(mode="json", exclude={"checkpoint_every"})
    return training | {"task": repr(config.task)}


def compile_stage(
    build: Build,
    run: Callable[[StageContext], Facts],
    *,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...] = (),
    tools: tuple[str, ...] = (),
    config: Sequence[object] = (),
) -> Stage:
    """Stage `compile` of a kind whose core has layers; `outputs`, `tools` and `config` are its own."""
    # The board's chip decides where to multiply, and its shell may load weights.
    sections = [build.compile.model_dump(mode="json"), build.board.name, build.board.shell, *config]
    budget = find(build.board.name).budget_of(build.board.shell)
    weights = ("weights.bin",) if budget.single_port_rams else ()
    return Stage(
        name="compile",
        version=9,
        inputs=inputs,
        config=lambda _: sections,
        tools=("finn-plus", "qonnx", "amaranth", "pyosys", *tools),
        run=run,
        outputs=("hardware.onnx", "core.v", "io.json", "layers.json", *weights, *outputs),
        seeded=False,
    )


def write_core(
    ctx: StageContext,
    model: Any,
    input_values: "Callable[[tuple[int, ...]], tuple[Affine, ...]]",
    reference: "Callable[[dataflow.DataflowGraph, Affine], None]" = lambda graph, output: None,
    decoding: Mapping[str, Any] = MappingProxyType({}),
) -> Facts:
    """Read FINN's hardware graph into the dataflow form, and write `core.v` and what describes it.

    `input_values` gives what the bytes of frames of a shape stand for; `reference` is called with the graph,
    and what its integers stand for; `decoding` says how outputs are decoded. `weights.bin` is for single-port
    RAM, and empty where all weights are in the bitstream.
    """
    from hw.core import design
    from hw.finn.graph import kept_output, save_hardware
    from hw.finn.reader import joined, read_layers
    from hw.mapping.memories import with_products, with_resources

    reading = read_layers(model)
    board = find(ctx.config.board.name)
    budget = board.budget_of(ctx.config.board.shell)
    if board.family.uses_vivado:  # its core is simulated beside FINN's RTL, and never placed
        graph = with_products(joined(reading), "lut")
    else:
        graph = with_resources(joined(reading), ctx.config.compile.multiply, board.family, budget)
    output = kept_output(model)
    reference(graph, output)
    save_hardware(model, ctx.work / "hardware.onnx")
    core = design(graph, ctx.work / "amaranth")
    (ctx.work / "core.v").write_text(core.verilog)
    interface = replace(
        core.interface,
        input_values=input_values(graph.shape),
        output_values=output if ctx.config.compile.output == "logits" else None,
        decoding=decoding if ctx.config.compile.output == "logits" else {},
    )
    interface.save(ctx.work / "io.json")
    if budget.single_port_rams:
        (ctx.work / "weights.bin").write_bytes(core.weights)
    LAYERS.save(ctx.work, tuple(describe(layer, reading.origins.get(layer.name)) for layer in graph.layers))
    return {"interval_bound_cycles": graph.interval_bound}


def describe(layer: "dataflow.Layer", origin: str | None) -> Layer:
    """A layer for `layers.json`; `origin` is what the network's file calls its output."""
    from hw import dataflow

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
