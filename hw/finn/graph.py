"""FINN's graphs: which kind of layer a node is, passes over them, and hardware graphs as files."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from common.errors import LoweringError, ModelFileError
from hw.interface import Affine

PLUMBING = ("StreamingDataWidthConverter", "StreamingFIFO", "DuplicateStreams")
"""Layers that change no value; Retort puts in its own."""
ROUNDS = 40
"""Streamlining settles in fewer than a round for each branch of a network; more is a cycle of rewrites."""
_KEPT = "retort_output_"


def base_kind(node: Any) -> str:
    """FINN's layer type of a node, without the variant: `MVAU` for `MVAU_rtl`."""
    return str(node.op_type).removesuffix("_rtl").removesuffix("_hls")


def is_kind(node: Any, *kinds: str) -> bool:
    """Whether a node is of one of FINN's layer `kinds`, in any of its variants."""
    return base_kind(node) in kinds


def apply(model: Any, transformations: Sequence[Any]) -> Any:
    """The transformations, one after the other."""
    for transformation in transformations:
        model = model.transform(transformation)
    return model


def settle(model: Any, moves: Sequence[Any], after: Sequence[Any] = ()) -> Any:
    """The `moves`, and what comes `after` a move, over and over until no move changes the graph."""
    for _ in range(ROUNDS):
        before = model.model.SerializeToString(deterministic=True)
        model = apply(model, moves)
        if model.model.SerializeToString(deterministic=True) == before:
            return model
        model = apply(model, after)
    raise LoweringError(f"FINN's streamlining does not settle in {ROUNDS} rounds")


def naming() -> list[Any]:
    """The passes that name nodes and tensors by kind and place."""
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames

    return [GiveUniqueNodeNames(), GiveReadableTensorNames()]


def save_hardware(model: Any, path: Path) -> None:
    """Write a hardware graph as ONNX: the same bytes for the same graph."""
    path.write_bytes(model.model.SerializeToString(deterministic=True))


def load_hardware(path: Path) -> Any:
    """A hardware graph that `save_hardware` wrote; raises `ModelFileError`."""
    from google.protobuf.message import DecodeError
    from qonnx.core.modelwrapper import ModelWrapper

    try:
        model = ModelWrapper(str(path))
        if not model.graph.node:
            raise ValueError("no layers")
    except (OSError, AssertionError, DecodeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a hardware graph ({error!r:.200}); compile again") from error
    return model


def keep_output(model: Any, output: Affine) -> None:
    """Write into the hardware part what its outputs stand for, or what they did before an arg-max."""
    for key, number in asdict(output).items():
        model.set_metadata_prop(f"{_KEPT}{key}", repr(number))


def kept_output(model: Any) -> Affine:
    """What `keep_output` wrote; raises `ModelFileError`."""
    try:
        return Affine(*(float(model.get_metadata_prop(f"{_KEPT}{each.name}")) for each in fields(Affine)))
    except (TypeError, ValueError) as error:
        raise ModelFileError("hardware.onnx: says not what its outputs stand for; compile again") from error
