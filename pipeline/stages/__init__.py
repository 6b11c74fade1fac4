"""The stages, in one table. Their modules are imported when they run."""

from hw import tools
from hw.boards import find
from pipeline.config import BuildConfig
from pipeline.stage import Stage


def _board_tools(config: BuildConfig) -> tuple[str, ...]:
    """Synthesis, place and route, packing for the build's board."""
    family = find(config.board.name).family
    if config.board.toolchain == "native":
        return ("yosys", f"nextpnr-{family}")
    return ("pyosys", f"yowasp-nextpnr-{family}")


def _bitstream_tools(config: BuildConfig) -> tuple[str, ...]:
    return ("amaranth", "amaranth-boards", *_board_tools(config))


def _verify_tools(config: BuildConfig) -> tuple[str, ...]:
    """The decompiler counts where it is installed: with it there is one rung more to climb."""
    decompiler = ("icebox_vlog",) if tools.find("icebox_vlog").locate() else ()
    found = {"pyosys", f"yowasp-nextpnr-{find(config.board.name).family}", *decompiler}
    return ("torch", "onnxruntime", "finn-plus", "verilator", "g++", "make", *sorted(found))


def _bitstream_outputs(config: BuildConfig) -> tuple[str, ...]:
    """Named after the board's family, as its tools name them."""
    suffix, constraints = {"ice40": ("bin", "pcf"), "ecp5": ("bit", "lpf")}[find(config.board.name).family]
    return (
        f"bitstream.{suffix}",
        f"constraints.{constraints}",
        "netlist.json",
        "utilization.json",
        "floorplan.svg",
    )


def _training(config: BuildConfig) -> dict[str, object]:
    """What of `[training]` changes the weights; how often a checkpoint is written does not."""
    return config.training.model_dump(mode="json", exclude={"checkpoint_every"})


STAGES: tuple[Stage, ...] = (
    Stage(
        name="data",
        version=1,
        inputs=(),
        config=lambda config: config.data.model_dump(mode="json"),
        tools=("scikit-learn",),
        run="pipeline.stages.data:run",
        outputs=("data.safetensors",),
    ),
    Stage(
        name="teacher",
        version=1,
        inputs=("data",),
        config=lambda config: [config.teacher.model_dump(mode="json"), _training(config)],
        tools=("torch", "lightning-fabric"),
        run="pipeline.stages.teacher:run",
        outputs=(
            "teacher.safetensors",
            "transfer.safetensors",
            "teacher_logits.safetensors",
            "teacher_training.json",
        ),
    ),
    Stage(
        name="distill",
        version=1,
        inputs=("data", "teacher"),
        config=lambda config: [
            config.student.model_dump(mode="json"),
            config.distill.model_dump(mode="json"),
            _training(config),
        ],
        tools=("torch", "brevitas", "lightning-fabric"),
        run="pipeline.stages.distill:run",
        outputs=("student.safetensors", "baseline.safetensors", "training.json"),
    ),
    Stage(
        name="export",
        version=1,
        inputs=("data", "teacher", "distill"),
        config=lambda config: config.student.model_dump(mode="json", include={"layers"}),
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
    ),
    Stage(
        name="compile",
        version=1,
        inputs=("export",),
        config=lambda config: config.compile.model_dump(mode="json"),
        tools=("finn-plus", "qonnx", "amaranth", "pyosys"),
        run="pipeline.stages.compile:run",
        outputs=("hardware.onnx", "core.v", "io.json", "layers.json"),
        seeded=False,
    ),
    Stage(
        name="bitstream",
        version=1,
        inputs=("compile",),
        config=lambda config: config.board.model_dump(mode="json"),
        tools=_bitstream_tools,
        run="pipeline.stages.bitstream:run",
        outputs=_bitstream_outputs,
    ),
    Stage(
        name="verify",
        version=1,
        inputs=("data", "teacher", "export", "compile", "bitstream"),
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
        inputs=("data", "teacher", "distill", "export", "compile", "bitstream", "verify"),
        config=lambda config: config.model_dump(mode="json"),
        tools=(),
        run="pipeline.stages.report:run",
        outputs=("report.html",),
        volatile=("report.html",),
    ),
)
