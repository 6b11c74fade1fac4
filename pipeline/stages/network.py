"""Stage `network`: a network made elsewhere, checked, and what was recorded of it."""

from pathlib import Path

from pipeline.config import brought
from pipeline.config_network import network_content
from pipeline.errors import ConfigError
from pipeline.stage import Facts, StageContext


def run(ctx: StageContext) -> Facts:
    """Copy the network, in one file, and the recorded tensors as bytes; write what the network takes."""
    from hw.lowering.reference import integers_of
    from pipeline.given import Entry, Recorded

    asked = brought(ctx.config).network
    copy = ctx.work / "network.qonnx.onnx"
    copy.write_bytes(network_content(asked))
    made = integers_of(copy, given=asked.given, log=ctx.log("network.log"))
    shape = made.layout.shape
    if asked.flattened and len(shape) > 1:
        raise ConfigError(f"network.flattened: the network takes {shape}, in a known order; remove the key")
    found = Entry(made.layout, asked.given, made.outputs, made.end, asked.flattened)
    found.save(ctx.work / "network.json")
    if asked.recorded:
        Recorded.read(Path(asked.recorded), found).save(ctx.work / "recorded.safetensors")
    return {"input_shape": list(shape)}
