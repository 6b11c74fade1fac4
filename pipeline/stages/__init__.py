"""The stages, in one table. Their modules are imported when they run."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from hw import tools
from hw.boards import find, find_amd
from pipeline.config import Build, BuildConfig, NetworkBuild, brought, distilled
from pipeline.config_data import data_key
from pipeline.config_network import network_key
from pipeline.stage import Stage


def _data_tools(config: Build) -> tuple[str, ...]:
    """Bundled sets are part of a tool; every other source is told by the content of its files."""
    bundled = ("digits", "wine", "breast-cancer")
    return ("scikit-learn",) if config.data and config.data.source in bundled else ()


def _family(config: Build) -> str:
    return find(config.board.name).family


def _for_amd(config: Build) -> bool:
    """Whether the build goes FINN's own way, to Vivado, or the open one, to a bitstream."""
    return _family(config) == "amd"


def _board_tools(config: Build) -> tuple[str, ...]:
    """Synthesis, place and route, packing for the build's board."""
    family = _family(config)
    if config.board.toolchain == "native":
        return ("yosys", f"nextpnr-{family}")
    return ("pyosys", f"yowasp-nextpnr-{family}")


def _bitstream_tools(config: Build) -> tuple[str, ...]:
    return ("amaranth", "amaranth-boards", *_board_tools(config))


def chip_tools(config: Build) -> tuple[str, ...]:
    """What climbs the rungs of the core and its chip.

    The decompiler counts where it is installed: with it there is one rung more to climb.
    """
    common = ("verilator", "g++", "make")
    if _for_amd(config):
        return common
    decompiler = ("icebox_vlog",) if tools.find("icebox_vlog").locate() else ()
    return (*common, *sorted({"pyosys", f"yowasp-nextpnr-{_family(config)}", *decompiler}))


def _verify_tools(config: Build) -> tuple[str, ...]:
    network = "torch" if _distils(config) else "qonnx"
    return (network, "onnxruntime", "finn-plus", *chip_tools(config))


def _bitstream_outputs(config: Build) -> tuple[str, ...]:
    """Named after the board's family, as its tools name them."""
    suffix, constraints = {"ice40": ("bin", "pcf"), "ecp5": ("bit", "lpf")}[_family(config)]
    return (
        f"bitstream.{suffix}",
        f"constraints.{constraints}",
        "netlist.json",
        "pins.json",
        "utilization.json",
        "floorplan.svg",
    )


def _distils(config: Build) -> bool:
    return isinstance(config, BuildConfig)


def _brings(config: Build) -> bool:
    return isinstance(config, NetworkBuild)


def _choice(config: Build) -> tuple[str, ...]:
    """Stage `size`, for those that need to know the student: only where the build leaves it open."""
    return ("size",) if distilled(config).student.choices else ()


def _training(config: Build) -> dict[str, object]:
    """What of `[training]` changes the weights; how often a checkpoint is written does not."""
    return distilled(config).training.model_dump(mode="json", exclude={"checkpoint_every"})


def _brought(config: Build) -> tuple[str, ...]:
    """The network made elsewhere, and the data set where the build has one."""
    return ("data", "network") if config.data else ("network",)


def _network_outputs(config: Build) -> tuple[str, ...]:
    recorded = ("recorded.safetensors",) if brought(config).network.recorded else ()
    return ("network.qonnx.onnx", "network.json", *recorded)


def _compile_config(config: Build) -> object:
    """With the board, whose chip decides where to multiply, and its shell, which may load weights."""
    sections = [config.compile.model_dump(mode="json"), config.board.name, config.board.shell]
    if isinstance(config, NetworkBuild):
        return [*sections, config.verify.network_samples]
    return sections


def _compile_tools(config: Build) -> tuple[str, ...]:
    reference = ("onnxruntime",) if _brings(config) else ()
    return ("finn-plus", "qonnx", "amaranth", "pyosys", *reference)


def _compile_outputs(config: Build) -> tuple[str, ...]:
    reference = ("golden.onnx", "metrics.json") if _brings(config) else ()
    board = find(config.board.name)
    weights = ("weights.bin",) if board.budget_of(config.board.shell).single_port_rams else ()
    return ("hardware.onnx", "core.v", "io.json", "layers.json", *weights, *reference)


def _before_compile(config: Build) -> tuple[str, ...]:
    return ("size", "export") if _distils(config) else _brought(config)


def _before_verify(config: Build) -> tuple[str, ...]:
    before = ("data", "teacher", "export") if _distils(config) else _brought(config)
    return (*before, "compile", _hardware(config))


def _before_report(config: Build) -> tuple[str, ...]:
    trained = ("data", "teacher", "size", "distill", "export")
    before = trained if _distils(config) else _brought(config)
    estimates = ("estimates",) if _for_amd(config) else ()
    return (*before, "compile", _hardware(config), *estimates, "verify")


def _hardware(config: Build) -> str:
    """The last stage before the ladder."""
    return "finn-rtl" if _for_amd(config) else "bitstream"


def _part(config: Build) -> list[object]:
    board = find_amd(config.board.name)
    return [board.part, board.clock_hz]


def _before_vivado(config: Build) -> tuple[str, ...]:
    """Not the ladder, whose times are never the same; it is climbed before all the same."""
    return (*(("data", "export") if _distils(config) else _brought(config)), "compile", "finn-rtl")


def _vivado(name: str) -> Callable[[Build], Any]:
    """A function of the stage's module, which is imported for builds that have the stage."""
    return lambda config: getattr(import_module("pipeline.stages.vivado"), name)(config)


STAGES: tuple[Stage, ...] = (
    Stage(
        name="data",
        version=1,
        inputs=(),
        config=lambda config: data_key(config.data) if config.data else None,
        tools=_data_tools,
        run="pipeline.stages.data:run",
        outputs=("data.safetensors",),
        applies=lambda config: config.data is not None,
    ),
    Stage(
        name="network",
        version=1,
        inputs=(),
        config=lambda config: network_key(brought(config).network),
        tools=("onnx", "qonnx"),
        run="pipeline.stages.network:run",
        outputs=_network_outputs,
        seeded=False,
        applies=_brings,
    ),
    Stage(
        name="teacher",
        version=3,
        inputs=("data",),
        config=lambda config: [distilled(config).teacher.model_dump(mode="json"), _training(config)],
        tools=("torch", "lightning-fabric"),
        run="pipeline.stages.teacher:run",
        outputs=(
            "teacher.safetensors",
            "transfer.safetensors",
            "teacher_logits.safetensors",
            "teacher_training.json",
        ),
        applies=_distils,
    ),
    Stage(
        name="size",
        version=3,
        inputs=("data", "teacher"),
        config=lambda config: [
            getattr(config, section).model_dump(mode="json")
            for section in ("student", "distill", "compile", "board", "size")
            if getattr(config, section) is not None
        ],
        tools=("torch", "brevitas", "optuna"),
        run="pipeline.stages.size:run",
        outputs=("sized.json",),
        applies=_distils,
    ),
    Stage(
        name="distill",
        version=4,
        inputs=lambda config: ("data", "teacher", *_choice(config)),
        config=lambda config: [
            distilled(config).student.model_dump(mode="json"),
            distilled(config).distill.model_dump(mode="json"),
            _training(config),
        ],
        tools=("torch", "brevitas", "lightning-fabric"),
        run="pipeline.stages.distill:run",
        outputs=("student.safetensors", "baseline.safetensors", "training.json"),
        applies=_distils,
    ),
    Stage(
        name="export",
        version=4,
        inputs=lambda config: ("data", "teacher", *_choice(config), "distill"),
        config=lambda config: distilled(config).student.model_dump(mode="json", include={"layers"}),
        tools=("torch", "brevitas", "onnx"),
        run="pipeline.stages.export:run",
        outputs=(
            "frozen.safetensors",
            "student.qonnx.onnx",
            "student.onnx",
            "golden.onnx",
            "metrics.json",
        ),
        seeded=False,
        applies=_distils,
    ),
    Stage(
        name="compile",
        version=6,
        inputs=_before_compile,
        config=_compile_config,
        tools=_compile_tools,
        run="pipeline.stages.compile:run",
        outputs=_compile_outputs,
        seeded=False,
    ),
    Stage(
        name="bitstream",
        version=4,
        inputs=("compile",),
        config=lambda config: config.board.model_dump(mode="json"),
        tools=_bitstream_tools,
        run="pipeline.stages.bitstream:run",
        outputs=_bitstream_outputs,
        applies=lambda config: not _for_amd(config),
    ),
    Stage(
        name="finn-rtl",
        version=2,
        inputs=("compile",),
        config=_part,
        tools=("finn-plus", "qonnx"),
        run="pipeline.stages.finn_rtl:run",
        outputs=("finn_rtl.zip", "finn_rtl.json", "implemented.onnx"),
        seeded=False,
        applies=_for_amd,
    ),
    Stage(
        name="estimates",
        version=1,
        inputs=("finn-rtl",),
        config=_part,
        tools=("finn-plus", "qonnx", "pyosys"),
        run="pipeline.stages.estimates:run",
        outputs=("estimates.json",),
        seeded=False,
        applies=_for_amd,
    ),
    Stage(
        name="verify",
        version=3,
        inputs=_before_verify,
        config=lambda config: [
            config.verify.model_dump(mode="json"),
            config.board.model_dump(mode="json"),
            config.compile.output,
        ],
        tools=_verify_tools,
        run="pipeline.stages.verify:run",
        outputs=("verification.json", "performance.json"),
        volatile=("verification.json",),
        seeded=False,
    ),
    Stage(
        name="report",
        version=1,
        inputs=_before_report,
        config=lambda config: config.model_dump(mode="json"),
        tools=(),
        run="pipeline.stages.report:run",
        outputs=("report.html",),
        volatile=("report.html",),
    ),
    Stage(
        name="vivado",
        version=1,
        inputs=_before_vivado,
        config=_vivado("key"),
        tools=_vivado("tools"),
        run="pipeline.stages.vivado:run",
        outputs=_vivado("outputs"),
        seeded=False,
        applies=_for_amd,
        elsewhere=True,
    ),
)
