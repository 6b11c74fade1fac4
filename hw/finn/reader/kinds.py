"""What kind of FINN's layers a node is."""

from typing import Any

PLUMBING = ("StreamingDataWidthConverter", "StreamingFIFO", "DuplicateStreams")
"""Layers that change no value; Retort puts in its own."""


def base_kind(node: Any) -> str:
    """FINN's layer type of a node, without the variant: `MVAU` for `MVAU_rtl`."""
    return str(node.op_type).removesuffix("_rtl").removesuffix("_hls")


def is_kind(node: Any, *kinds: str) -> bool:
    """Whether a node is of one of FINN's layer `kinds`, in any of its variants."""
    return base_kind(node) in kinds
