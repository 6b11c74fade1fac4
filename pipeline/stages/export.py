"""Stage `export`: the student frozen to integers, as three ONNX files, and what distillation came to."""

import json
from dataclasses import asdict

from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Freeze, export, and measure on the test split."""
    from models import data, export
    from models.distill.training.student_training import load_student
    from models.students import freeze, integer
    from pipeline.artefacts.metrics import measure
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
    metrics = measure(network, freeze.freeze(baseline, "baseline"), teacher, dataset)
    metrics["freeze"] = asdict(freeze.freeze_report(student, network, dataset.test))
    (ctx.work / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    facts = {key: metrics[key] for key in ("teacher_accuracy", "student_accuracy")}
    return facts | {"input_shape": list(dataset.input_shape)}
