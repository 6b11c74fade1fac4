"""What a stage reads and leaves where that depends on the build: inputs, tools, configuration, outputs."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from hw.boards.board import Board
from hw.boards.boards import find
from pipeline.config.build import Build, needed
from pipeline.config.imported import ImportedStudent
from pipeline.config.quantized import QuantizedStudent


def data_tools(config: Build) -> tuple[str, ...]:
    """Bundled sets are part of a tool; every other source is told by the content of its files."""
    bundled = ("digits", "wine", "breast-cancer")
    return ("scikit-learn",) if config.data and config.data.source in bundled else ()


def board_of(config: Build) -> Board:
    """The build's board."""
    return find(config.board.name)


def for_amd(config: Build) -> bool:
    """Whether the build goes FINN's own way, to Vivado, or the open one, to a bitstream."""
    return board_of(config).family.uses_vivado


def board_tools(config: Build) -> tuple[str, ...]:
    """Synthesis, place and route, packing for the build's board."""
    return board_of(config).toolchain.tools(native=config.board.toolchain == "native")


def bitstream_tools(config: Build) -> tuple[str, ...]:
    """Tools of stage `bitstream`."""
    return ("amaranth", "amaranth-boards", *board_tools(config))


def chip_tools(config: Build) -> tuple[str, ...]:
    """What climbs the rungs of the core and its chip.

    The decompiler counts where it is installed: with it there is one rung more to climb.
    """
    common = ("verilator", "g++", "make")
    if for_amd(config):
        return common
    chain = board_of(config).toolchain
    decompiler = [chain.decompiler.name] if chain.decompiler and chain.decompiler.locate() else []
    return ("amaranth", *common, *sorted([*chain.tools(), *decompiler]))


def verify_tools(config: Build) -> tuple[str, ...]:
    """Tools of the ladder."""
    networks = ("torch", "brevitas", "qonnx") if distils(config) else ("qonnx",)
    return (*networks, "onnxruntime", "finn-plus", *chip_tools(config))


def bitstream_outputs(config: Build) -> tuple[str, ...]:
    """Named after the board's family, as its tools name them."""
    chain = board_of(config).toolchain
    return (
        f"bitstream{chain.bitstream}",
        f"constraints{chain.constraints}",
        "netlist.json",
        "pins.json",
        "utilization.json",
        "floorplan.svg",
    )


def distils(config: Build) -> bool:
    """Whether the build trains its student."""
    return isinstance(config.student, QuantizedStudent)


def brings(config: Build) -> bool:
    """Whether the build takes a network made elsewhere."""
    return isinstance(config.student, ImportedStudent)


def choice(config: Build) -> tuple[str, ...]:
    """Stage `size`, for those that need to know the student: only where the build leaves it open."""
    return ("size",) if config.student.choices else ()


def student(config: Build) -> dict[str, object]:
    """The student and how it is trained, by a seed of its own or the build's."""
    section = config.student_as(QuantizedStudent)
    seed = config.seed if section.seed is None else section.seed
    return section.model_dump(mode="json") | {"seed": seed}


def baseline(config: Build) -> list[object]:
    """What a student without distillation depends on: not on the losses."""
    asked = needed(config.distill, "distill")
    samples = asked.model_dump(mode="json", include={"samples", "leave_out"})
    return [student(config), samples, repr(asked.real_data()), training(config)]


def training(config: Build) -> dict[str, object]:
    """What of `[training]` changes the weights; how often a checkpoint is written does not."""
    return needed(config.training, "training").model_dump(mode="json", exclude={"checkpoint_every"})


def before_data(config: Build) -> tuple[str, ...]:
    """A network made elsewhere says what its data have to be."""
    return ("network",) if brings(config) else ()


def network_made(config: Build) -> tuple[str, ...]:
    """The network made elsewhere, and the data set where the build has one."""
    return ("network", "data") if config.data else ("network",)


def network_outputs(config: Build) -> tuple[str, ...]:
    """What stage `network` leaves."""
    recorded = ("recorded.safetensors",) if config.student_as(ImportedStudent).recorded else ()
    return ("network.qonnx.onnx", "network.json", *recorded)


def compile_config(config: Build) -> object:
    """With the board, whose chip decides where to multiply, and its shell, which may load weights."""
    sections = [config.compile.model_dump(mode="json"), config.board.name, config.board.shell]
    if isinstance(config.student, ImportedStudent):
        return [*sections, config.verify.network_samples]
    return sections


def compile_tools(config: Build) -> tuple[str, ...]:
    """Tools of stage `compile`."""
    reference = ("onnxruntime",) if brings(config) else ()
    return ("finn-plus", "qonnx", "amaranth", "pyosys", *reference)


def compile_outputs(config: Build) -> tuple[str, ...]:
    """What stage `compile` leaves."""
    reference = ("golden.onnx", "metrics.json") if brings(config) else ()
    board = board_of(config)
    weights = ("weights.bin",) if board.budget_of(config.board.shell).single_port_rams else ()
    return ("hardware.onnx", "core.v", "io.json", "layers.json", *weights, *reference)


def before_compile(config: Build) -> tuple[str, ...]:
    """What stage `compile` reads."""
    return ("data", "size", "export") if distils(config) else network_made(config)


def before_verify(config: Build) -> tuple[str, ...]:
    """What the ladder reads."""
    before = ("data", "teacher", "export") if distils(config) else network_made(config)
    return (*before, "compile", hardware(config))


def before_report(config: Build) -> tuple[str, ...]:
    """What the report reads."""
    trained = ("data", "teacher", "size", "distill", "export")
    before = trained if distils(config) else network_made(config)
    estimates = ("estimates",) if for_amd(config) else ()
    return (*before, "compile", hardware(config), *estimates, "verify")


def hardware(config: Build) -> str:
    """The last stage before the ladder."""
    return "finn-rtl" if for_amd(config) else "bitstream"


def part(config: Build) -> list[object]:
    """The chip that FINN writes RTL for, and its clock."""
    board = board_of(config)
    return [board.device, board.clock_hz]


def before_vivado(config: Build) -> tuple[str, ...]:
    """Not the ladder, whose times are never the same; it is climbed before all the same."""
    return (*(("data", "export") if distils(config) else network_made(config)), "compile", "finn-rtl")


def vivado(name: str) -> Callable[[Build], Any]:
    """A function of the stage's module, which is imported for builds that have the stage."""
    return lambda config: getattr(import_module("pipeline.stages.vivado"), name)(config)
