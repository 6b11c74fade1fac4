"""Student kind `quantized`: a narrow network, distilled with fake-quantized weights and activations.

Brevitas trains it; frozen to integers it is `golden.onnx`; FINN lowers it, and our kernels compute it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.config.build import Build, needed
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.students.base import StudentKind, compile_stage, training_key, write_core

if TYPE_CHECKING:
    from hw.interface import Affine
    from models.data import Dataset
    from pipeline.ladder.climbing import Ladder

TRAINING_TOOLS = ("torch", "brevitas", "lightning-fabric")


class Quantized(StudentKind):
    """A network of quantized layers."""

    evidence = ("export",)
    tools = ("torch", "brevitas", "qonnx", "onnxruntime", "finn-plus")

    def stages(self, build: Build) -> tuple[Stage, ...]:  # noqa: D102
        asked, losses = build.student_as(QuantizedStudent), needed(build.distill, "distill")
        # Only a student that the build leaves open depends on what sizing chose.
        sized = ("size",) if asked.choices else ()
        seed = build.seed if asked.seed is None else asked.seed
        student = asked.model_dump(mode="json") | {"seed": seed}
        return (
            Stage(
                name="size",
                version=4,
                inputs=("data", "teacher"),
                config=lambda config: [
                    getattr(config, section).model_dump(mode="json", exclude={"seed"})
                    for section in ("student", "distill", "compile", "board", "size")
                    if getattr(config, section) is not None
                ],
                tools=(*TRAINING_TOOLS, "optuna"),
                run=size,
                outputs=("sized.json",),
            ),
            Stage(
                name="baseline",
                version=1,
                inputs=("data", "teacher", *sized),
                # It does not depend on the losses.
                config=lambda _: [
                    student,
                    losses.model_dump(mode="json", include={"samples", "leave_out"}),
                    repr(losses.real_data()),
                    training_key(build),
                ],
                tools=TRAINING_TOOLS,
                run=train_baseline,
                outputs=("baseline.safetensors", "baseline_training.json"),
            ),
            Stage(
                name="distill",
                version=6,
                inputs=("data", "teacher", *sized, "baseline"),
                config=lambda _: [
                    student,
                    losses.model_dump(mode="json"),
                    training_key(build),
                ],
                tools=TRAINING_TOOLS,
                run=distill,
                outputs=("student.safetensors", "training.json"),
            ),
            Stage(
                name="export",
                version=6,
                inputs=("data", "teacher", *sized, "baseline", "distill"),
                config=lambda _: [asked.model_dump(mode="json", include={"layers"}), repr(build.task)],
                tools=("torch", "brevitas", "onnx"),
                run=export,
                outputs=(
                    "frozen.safetensors",
                    "student.qonnx.onnx",
                    "student.onnx",
                    "golden.onnx",
                    "metrics.json",
                ),
                seeded=False,
            ),
            compile_stage(build, compile_core, inputs=("data", "size", "export"), config=(repr(build.task),)),
        )

    def ladder(self) -> "Ladder":  # noqa: D102
        from pipeline.ladder.networks import QUANTIZED

        return QUANTIZED

    def check(self, build: Build, dataset: "Dataset", seed: int) -> None:
        """Check that a student of the build's fits the board, and has the layers that the methods want."""
        from pipeline.sizing import require_feasible

        require_feasible(build, dataset.input_shape)
        asked = build.student_as(QuantizedStudent)
        largest = {key: values[-1] for key, values in asked.choices.items()}
        topology = asked.topology(dataset.input_shape, largest)
        architecture = needed(build.teacher, "teacher").architecture
        if architecture:
            needed(build.distill, "distill").recipe().check(topology, architecture)


def size(ctx: StageContext) -> Facts:
    """Choose the student that fits the board by short distillations.

    `sized.json` says what is chosen, the folds, and the estimate against the budget.
    """
    from models import data
    from models.distill.training import transfer
    from pipeline.sizing.run import size as search
    from pipeline.students.training import training_config

    student = ctx.config.student_as(QuantizedStudent)
    found = search(
        ctx.config,
        data.load(ctx.input("data", "data.safetensors")),
        transfer.load(ctx.input("teacher", "transfer.safetensors")),
        needed(ctx.config.distill, "distill").recipe().loss,
        training_config(ctx.config, student, ctx.seed),
        ctx.partial,
        ctx.progress,
    )
    found.save(ctx.work / "sized.json")
    return {
        "chosen": dict(found.chosen),
        "binding": found.details["binding"],
        "interval_cycles": found.details["interval_cycles"],
        "limited_by": found.details["limited_by"],
    }


def train_baseline(ctx: StageContext) -> Facts:
    """Train the student on the labels alone, from the same initial weights, to compare with."""
    from models.distill.recipe import Recipe
    from pipeline.artefacts.training import BASELINE_TRAINING
    from pipeline.students.training import train_student

    recipe = Recipe(ctx.config.task.labels_only(), needed(ctx.config.distill, "distill").real_data())
    found = train_student(ctx, recipe, "baseline")
    BASELINE_TRAINING.save(ctx.work, found)
    return {"validation_score": found.history.validation_score}


def distill(ctx: StageContext) -> Facts:
    """Train the student by the build's losses, source and schedule, and the temperature curve."""
    from models.distill.losses import SoftenedSoftmax
    from models.distill.method import is_live
    from pipeline.artefacts import training as files
    from pipeline.students.training import train_student, training_setup

    live = ctx.config.student_as(QuantizedStudent).augment is not None
    asked = needed(ctx.config.distill, "distill")
    recipe = asked.recipe()
    student = train_student(ctx, recipe, "student")
    baseline = files.BASELINE_TRAINING.read(ctx.input("baseline", files.BASELINE_TRAINING.name))
    setup = recipe.prepared(training_setup(ctx)(None))
    curve = setup.temperature_sweep(asked.temperatures, asked.sweep_epochs)
    losses = [each.loss for each in asked.losses]
    temperatures = [loss.temperature for loss in losses if isinstance(loss, SoftenedSoftmax)]
    found = files.Training(
        teacher=files.TEACHER_TRAINING.read(ctx.input("teacher", files.TEACHER_TRAINING.name)),
        student=student.history,
        baseline=baseline.history,
        zeros={"student": student.zeros, "baseline": baseline.zeros},
        temperature_curve=tuple(files.CurvePoint(**point) for point in curve),
        temperature=temperatures[0] if temperatures else None,
        teacher_in_every_step=is_live(recipe.needs, live),
    )
    files.TRAINING.save(ctx.work, found)
    return {"student": student.history.validation_score, "baseline": baseline.history.validation_score}


def export(ctx: StageContext) -> Facts:
    """Freeze the student to integers, write it as three ONNX files, and measure it on the test split."""
    from models import data
    from models import export as files
    from models.distill.training.student_training import load_student
    from models.students import freeze, integer
    from pipeline.artefacts.metrics import METRICS, measure
    from pipeline.students.training import chosen_topology

    dataset = data.load(ctx.input("data", "data.safetensors"))
    topology = chosen_topology(ctx, dataset.input_shape)
    student, baseline = (
        load_student(topology, ctx.input(stage, f"{name}.safetensors"))
        for stage, name in (("distill", "student"), ("baseline", "baseline"))
    )
    network = freeze.freeze(student)
    integer.save(network, ctx.work / "frozen.safetensors")
    files.save_model(files.qonnx_model(network), ctx.work / "student.qonnx.onnx")
    files.save_model(files.student_model(network), ctx.work / "student.onnx")
    files.save_model(files.golden_model(network), ctx.work / "golden.onnx")
    teacher = ctx.input("teacher", "teacher_logits.safetensors")
    x = dataset.test.x
    task, frozen = ctx.config.task, freeze.freeze(baseline, "baseline")
    outputs, without = network.forward(x), frozen.forward(x) * frozen.logit_scale
    metrics = measure(task, outputs * network.logit_scale, without, teacher, dataset)
    metrics = replace(metrics, freeze=freeze.freeze_report(student, network, dataset.test, task))
    METRICS.save(ctx.work, metrics)
    shape = list(dataset.input_shape)
    return {"teacher": metrics.teacher, "student": metrics.student, "input_shape": shape}


def compile_core(ctx: StageContext) -> Facts:
    """Lower the student to FINN's hardware graph, folded as it was sized, and write its core."""
    from hw.finn.lowering import Folding, lower
    from hw.interface import Affine
    from models import data
    from pipeline.sizing.result import load_sized

    model = lower(
        ctx.input("export", "student.qonnx.onnx"),
        folding=Folding(folds=load_sized(ctx.input("size", "sized.json")).folds),
        label=ctx.config.compile.output == "label",
        log=ctx.log("finn.log"),
    )
    dataset = data.load(ctx.input("data", "data.safetensors"))

    def input_values(_shape: tuple[int, ...]) -> "tuple[Affine, ...]":
        return tuple(Affine(*pair) for pair in dataset.byte_values)

    return write_core(ctx, model, input_values, decoding=ctx.config.task.decoding(dataset))
