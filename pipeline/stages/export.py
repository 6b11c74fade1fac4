"""Stage `export`: the student frozen to integers, as three ONNX files, and what distillation came to."""

from dataclasses import replace

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Freeze, export, and measure on the test split."""
    from models import data, export
    from models.distill.training.student_training import load_student
    from models.students import freeze, integer
    from models.tasks import CLASSIFICATION
    from pipeline.artefacts.metrics import METRICS, measure
    from pipeline.stages.training import chosen_topology

    dataset = data.load(ctx.input("data", "data.safetensors"))
    topology = chosen_topology(ctx, dataset.input_shape)
    student, baseline = (
        load_student(topology, ctx.input(stage, f"{name}.safetensors"))
        for stage, name in (("distill", "student"), ("baseline", "baseline"))
    )
    network = freeze.freeze(student)
    integer.save(network, ctx.work / "frozen.safetensors")
    export.save_model(export.qonnx_model(network), ctx.work / "student.qonnx.onnx")
    export.save_model(export.student_model(network), ctx.work / "student.onnx")
    export.save_model(export.golden_model(network), ctx.work / "golden.onnx")
    teacher = ctx.input("teacher", "teacher_logits.safetensors")
    metrics = measure(CLASSIFICATION, network, freeze.freeze(baseline, "baseline"), teacher, dataset)
    metrics = replace(metrics, freeze=freeze.freeze_report(student, network, dataset.test))
    METRICS.save(ctx.work, metrics)
    return {
        "teacher": metrics.teacher,
        "student": metrics.student,
        "input_shape": list(dataset.input_shape),
    }
