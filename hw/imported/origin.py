"""Which part of the file a layer comes from: by it, layers meet their folds and what they are compared with.

FINN gives nodes and tensors new names, puts several nodes in place of one, and orders branches as it likes.
Two things last. What takes the place of a node gives its tensor. And once FINN streamlines, a layer keeps the
tensor of its weights or thresholds. Either is given new names, but its annotations go with it, so that the
origin is an annotation: first of every tensor that a node of the file gives, then of every parameter. Layers
that nothing else tells apart, of equal weights behind the same stream, so have their own origins, too.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

KEY = "retort_origin"
PARAMETRIC = ("Conv", "MatMul", "MultiThreshold")
"""Nodes of streamlined networks whose second input holds weights or thresholds."""


@dataclass(frozen=True, order=True)
class Origin:
    """A node of the file.

    Attributes:
        place: where it stands among the file's nodes.
        part: which one of several layers, that all come from this node, in their order.
        tensor: what the file calls the tensor that the node gives.
    """

    place: int
    part: int
    tensor: str


def note_outputs(model: Any) -> Any:
    """Annotate every tensor that a node of a file's network gives, before anything is changed."""
    _forget(model)  # FINN's graphs, which have such annotations, may be files to read themselves
    for place, node in enumerate(model.graph.node):
        for tensor in filter(None, node.output):
            _annotate(model, tensor, Origin(place, 0, tensor))
    return model


def note_made(model: Any, tensors: Mapping[str, str], file: Any) -> None:
    """Annotate `tensors` of a network that was made of the `file`'s by those that they stand for there."""
    for tensor, source in tensors.items():
        if (origin := _noted(file, source)) is not None:
            _annotate(model, tensor, origin)


class NoteParameters:
    """A transformation: origins from the tensors that nodes give to the parameters that layers keep.

    To be applied when every weight is a constant and every activation a node with thresholds. A node made of
    one of the file's comes before, or gives, the tensor of that one.
    """

    def apply(self, model: Any) -> tuple[Any, bool]:
        """Annotate the parameters, and nothing else any more."""
        found: list[tuple[str, Origin]] = []
        parts: Counter[Origin] = Counter()
        for node in model.graph.node:
            if node.op_type in PARAMETRIC and (origin := _downstream(model, node)) is not None:
                found.append((node.input[1], Origin(origin.place, parts[origin], origin.tensor)))
                parts[origin] += 1
        _forget(model)
        for tensor, origin in found:
            _annotate(model, tensor, origin)
        return model, False


def origin_of(model: Any, node: Any) -> Origin | None:
    """Where a layer with weights or thresholds comes from; None where FINN made it of nothing in the file."""
    return _noted(model, node.input[1]) or _downstream(model, node) if len(node.input) > 1 else None


def in_file_order(model: Any) -> None:
    """Put the nodes in the order of the file, each behind those that it takes from, and number their names.

    Reports show layers in this order. Nothing is matched by it, for every transformation sorts anew.
    """
    nodes = list(model.graph.node)
    noted = [(origin, node) for node in nodes if (origin := origin_of(model, node)) is not None]
    ordered: dict[str, Any] = {}
    for _, node in sorted(noted, key=lambda pair: pair[0]):
        _put(model, node, ordered)
    for node in nodes:
        _put(model, node, ordered)
    kept = [type(node).FromString(node.SerializeToString()) for node in ordered.values()]
    serials: Counter[str] = Counter()
    for node in kept:
        node.name = f"{node.op_type}_{serials[node.op_type]}"
        serials[node.op_type] += 1
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _put(model: Any, node: Any, ordered: dict[str, Any]) -> None:
    """A node behind those that it takes from."""
    if node.name in ordered:
        return
    for tensor in node.input:
        before = model.find_producer(tensor)
        if before is not None:
            _put(model, before, ordered)
    ordered[node.name] = node


def _downstream(model: Any, node: Any) -> Origin | None:
    """The origin of the first tensor with one, from what a node gives onwards."""
    tensor = node.output[0]
    while (origin := _noted(model, tensor)) is None:
        takers = model.find_consumers(tensor) or []
        if len(takers) != 1:
            return None
        tensor = takers[0].output[0]
    return origin


def _noted(model: Any, tensor: str) -> Origin | None:
    for each in model.graph.quantization_annotation:
        if each.tensor_name == tensor:
            for entry in each.quant_parameter_tensor_names:
                if entry.key == KEY:
                    return Origin(*json.loads(entry.value))
    return None


def _annotate(model: Any, tensor: str, origin: Origin) -> None:
    annotations = model.graph.quantization_annotation
    known = [each for each in annotations if each.tensor_name == tensor]
    entries = (known[0] if known else annotations.add(tensor_name=tensor)).quant_parameter_tensor_names
    entries.add(key=KEY, value=json.dumps(astuple(origin)))


def _forget(model: Any) -> None:
    """Take all origins out."""
    for each in model.graph.quantization_annotation:
        kept = [entry for entry in each.quant_parameter_tensor_names if entry.key != KEY]
        del each.quant_parameter_tensor_names[:]
        each.quant_parameter_tensor_names.extend(kept)
