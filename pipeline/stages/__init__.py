"""The stages of a build: those of its kind of student, and around them those that all builds share.

Imports all of `pipeline` but studies and command line. A stage's module is imported when it runs.
"""

from collections.abc import Iterator

from hw.boards.boards import find
from pipeline.config.build import Build
from pipeline.config.data import data_key
from pipeline.engine.stage import Stage
from pipeline.stages import vivado
from pipeline.students import student_of
from pipeline.students.base import training_key


def stages_of(build: Build) -> tuple[Stage, ...]:
    """The stages of a build, in order."""
    made = tuple(_to_core(build))
    amd = find(build.board.name).family.uses_vivado
    chip = tuple(_finn(build)) if amd else (_bitstream(build),)
    evidence = {"data", "teacher", "compile", "bitstream", "finn-rtl", *student_of(build).evidence}
    stages = (*made, *chip)
    verify = _verify(build, tuple(stage.name for stage in stages if stage.name in evidence))
    report = _report(tuple(stage.name for stage in (*stages, verify)))
    return (*stages, verify, report, *((_vivado(build, verify.inputs_of(build)),) if amd else ()))


def _to_core(build: Build) -> Iterator[Stage]:
    """The stages up to `compile`."""
    kind = student_of(build)
    first = kind.before_data(build)
    yield from first
    if build.data is not None:
        bundled = build.data.source in ("digits", "wine", "breast-cancer")
        source = build.data
        yield Stage(
            name="data",
            version=2,
            inputs=tuple(stage.name for stage in first),
            config=lambda _: [data_key(source), repr(build.task)],
            # Bundled sets are part of a tool; every other source is told by the content of its files.
            tools=("scikit-learn",) if bundled else (),
            run="pipeline.stages.data:run",
            outputs=("data.safetensors",),
        )
    if teacher := build.teacher:
        shape = [build.table("student")["layers"]] if teacher.of_students else []
        yield Stage(
            name="teacher",
            version=4,
            inputs=("data",),
            config=lambda _: [build.table("teacher"), training_key(build), *shape],
            tools=teacher.tools,
            run="pipeline.stages.teacher:run",
            outputs=(
                "teacher.safetensors",
                "transfer.safetensors",
                "teacher_logits.safetensors",
                "teacher_training.json",
            ),
        )
    yield from kind.stages(build)


def _bitstream(build: Build) -> Stage:
    chain = find(build.board.name).toolchain
    return Stage(
        name="bitstream",
        version=6,
        inputs=("compile",),
        config=lambda config: config.board.model_dump(mode="json"),
        tools=("amaranth", "amaranth-boards", *chain.tools(native=build.board.toolchain == "native")),
        run="pipeline.stages.bitstream:run",
        outputs=(
            f"bitstream{chain.bitstream}",
            f"constraints{chain.constraints}",
            "netlist.json",
            "pins.json",
            "utilization.json",
            "floorplan.svg",
        ),
    )


def _finn(build: Build) -> Iterator[Stage]:
    """FINN's own RTL, and what it takes."""
    board = find(build.board.name)
    part = [board.device, board.clock_hz]
    yield Stage(
        name="finn-rtl",
        version=3,
        inputs=("compile",),
        config=lambda _: part,
        tools=("finn-plus", "qonnx"),
        run="pipeline.stages.finn_rtl:run",
        outputs=("finn_rtl.zip", "finn_rtl.json", "implemented.onnx"),
        seeded=False,
    )
    yield Stage(
        name="estimates",
        version=2,
        inputs=("finn-rtl",),
        config=lambda _: part,
        tools=("finn-plus", "qonnx", "pyosys"),
        run="pipeline.stages.estimates:run",
        outputs=("estimates.json",),
        seeded=False,
    )


def chip_tools(build: Build) -> tuple[str, ...]:
    """What the rungs of the core and its chip call.

    The decompiler counts where it is installed: with it there is one rung more to climb.
    """
    common, board = ("verilator", "g++", "make"), find(build.board.name)
    if board.family.uses_vivado:
        return common
    chain = board.toolchain
    decompiler = [chain.decompiler.name] if chain.decompiler and chain.decompiler.locate() else []
    return ("amaranth", *common, *sorted([*chain.tools(), *decompiler]))


def _verify(build: Build, inputs: tuple[str, ...]) -> Stage:
    return Stage(
        name="verify",
        version=6,
        inputs=inputs,
        config=lambda config: [
            config.verify.model_dump(mode="json"),
            config.board.model_dump(mode="json"),
            config.compile.output,
            repr(config.task),
        ],
        tools=(*student_of(build).tools, *chip_tools(build)),
        run="pipeline.stages.verify:run",
        outputs=("verification.json", "performance.json"),
        volatile=("verification.json",),
        seeded=False,
    )


def _report(inputs: tuple[str, ...]) -> Stage:
    return Stage(
        name="report",
        version=3,
        inputs=inputs,
        config=lambda config: config.model_dump(mode="json"),
        tools=(),
        run="pipeline.stages.report:run",
        outputs=("report.html",),
        volatile=("report.html",),
    )


def _vivado(build: Build, inputs: tuple[str, ...]) -> Stage:
    """Its inputs leave the ladder out, whose times are never the same; it is climbed before all the same."""
    return Stage(
        name="vivado",
        version=1,
        inputs=inputs,
        config=vivado.key,
        tools=vivado.tools,
        run=vivado.run,
        outputs=vivado.outputs,
        seeded=False,
        elsewhere=True,
    )
