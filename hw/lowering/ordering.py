"""Branches of a hardware graph, in the order in which the network has them."""

from collections import Counter
from typing import Any

from hw.finn_reader import is_kind


def has_branches(model: Any) -> bool:
    """Whether a stream of a hardware graph has two takers."""
    return any(is_kind(node, "DuplicateStreams") for node in model.graph.node)


def order_branches(model: Any, places: list[int]) -> None:
    """Put threshold layers, and all before each, in the order of their `places` in the network; name all.

    So layers meet their folds, and taps what they are compared with, by place alone. Every transformation
    sorts the nodes its own way again.
    """
    layers = [node for node in model.graph.node if is_kind(node, "Thresholding")]
    ordered: list[Any] = []
    for _, node in sorted(zip(places, layers, strict=True), key=lambda pair: pair[0]):
        _put(model, node, ordered)
    for node in list(model.graph.node):
        _put(model, node, ordered)
    serials: Counter[str] = Counter()
    for node in ordered:
        node.name = f"{node.op_type}_{serials[node.op_type]}"
        serials[node.op_type] += 1
    kept = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _put(model: Any, node: Any, ordered: list[Any]) -> None:
    """A node behind those that it takes from."""
    if node in ordered:
        return
    for tensor in node.input:
        before = model.find_producer(tensor)
        if before is not None:
            _put(model, before, ordered)
    ordered.append(node)
