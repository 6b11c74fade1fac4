"""Stage `network`: a network made elsewhere, checked, and what was recorded of it."""

from pathlib import Path

from models.data.arrays import read_npz_arrays
from models.data.samples import check_values
from pipeline.config import brought
from pipeline.config_network import network_content
from pipeline.errors import DataError
from pipeline.stage import Facts, StageContext

PARTS = ("inputs", "outputs")


def run(ctx: StageContext) -> Facts:
    """Copy the network, in one file, and the recorded tensors as bytes; write what the network takes."""
    from hw.lowering.reference import entry
    from pipeline.given import Entry, Recorded

    asked = brought(ctx.config).network
    copy = ctx.work / "network.qonnx.onnx"
    copy.write_bytes(network_content(asked))
    shape, normalized = entry(copy, given=asked.given, log=ctx.log("network.log"))
    found = Entry(shape, asked.given, normalized)
    found.save(ctx.work / "network.json")
    if asked.recorded:
        _check_recorded(Path(asked.recorded))
        Recorded.read(Path(asked.recorded), found).save(ctx.work / "recorded.safetensors")
    return {"input_shape": list(shape)}


def _check_recorded(path: Path) -> None:
    """Raise `DataError` where an array cannot be read, or holds what can be compared with nothing."""
    for name, array in read_npz_arrays(path, PARTS).items():
        if array.ndim < 2:
            raise DataError(f"{path}, {name}: shape {array.shape}; give one row a frame")
        if array.dtype.kind == "f":
            check_values(f"{path}, {name}", array)
