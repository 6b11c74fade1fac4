"""Stage `network`: a network made elsewhere, checked, and what was recorded of it."""

from pathlib import Path

from common.errors import ConfigError
from pipeline.config.imported import ImportedStudent, network_content
from pipeline.engine.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Copy the network, in one file, and the recorded tensors as bytes; write what the network takes."""
    from hw.finn.lowering.reference import integers_of
    from pipeline.artefacts.imported import Entry, Recorded

    asked = ctx.config.student_as(ImportedStudent)
    copy = ctx.work / "network.qonnx.onnx"
    copy.write_bytes(network_content(asked))
    made = integers_of(copy, given=asked.given, log=ctx.log("network.log"))
    shape = made.layout.shape
    if asked.flattened and len(shape) > 1:
        raise ConfigError(f"student.flattened: the network takes {shape}, in a known order; remove the key")
    found = Entry(made.layout, asked.given, made.outputs, made.end, asked.flattened)
    found.save(ctx.work / "network.json")
    if asked.recorded:
        Recorded.read(Path(asked.recorded), found).save(ctx.work / "recorded.safetensors")
    return {"input_shape": list(shape)}
