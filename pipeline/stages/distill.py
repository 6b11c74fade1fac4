"""Stage `distill`: the student, its twin without distillation, and the temperature curve."""

import json

from pipeline.config import distilled
from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Train both from the same initial weights on the same samples; only the loss differs."""
    from models import data
    from models.distill import student_training as training
    from models.distill import transfer
    from models.distill.losses import HardLabels
    from pipeline.stages.training import chosen_topology, distillation, training_config

    config = distilled(ctx.config)
    dataset = data.load(ctx.input("data", "data.safetensors"))
    examples = transfer.load(ctx.input("teacher", "transfer.safetensors"))
    topology = chosen_topology(ctx, dataset.input_shape)
    settings = training_config(config, config.student, ctx.seed)
    loss = distillation(config)
    histories = {}
    for name, each in (("student", loss), ("baseline", HardLabels())):
        checkpoint = ctx.partial / f"{name}.safetensors"
        student, history = training.distill(
            topology, dataset, examples, each, settings, checkpoint, ctx.progress
        )
        training.save_student(student, ctx.work / f"{name}.safetensors")
        histories[name] = history
    asked = config.distill
    curve = training.temperature_sweep(
        asked.temperatures,
        topology,
        dataset,
        examples,
        loss,
        settings,
        asked.sweep_epochs,
        ctx.progress,
    )
    temperatures = [loss.temperature for loss in asked.losses if loss.method == "softened-softmax"]
    found = {
        "teacher": json.loads(ctx.input("teacher", "teacher_training.json").read_text()),
        **{name: history.to_json() for name, history in histories.items()},
        "temperature_curve": curve,
        "temperature": temperatures[0] if temperatures else None,
    }
    (ctx.work / "training.json").write_text(json.dumps(found) + "\n")
    return {name: history.validation_accuracy for name, history in histories.items()}
