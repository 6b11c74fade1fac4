"""What a node of an ONNX graph says: its name for messages, its attributes, its axes."""

from typing import Any

from common.errors import LoweringError


def called(node: Any) -> str:
    """A node in messages."""
    return f"{node.name} ({node.op_type})"


def attributes(node: Any) -> dict[str, Any]:
    """The attributes that a node has, strings as `str`."""
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def given_axes(model: Any, node: Any) -> list[int] | None:
    """The axes that a node names, as attribute or as its second input; None where it names none."""
    found = attributes(node).get("axes")
    if found is None and len(node.input) > 1 and node.input[1]:
        found = model.get_initializer(node.input[1])
        if found is None:
            raise LoweringError(f"{called(node)}: its axes are computed; export it with constant axes")
    return None if found is None else [int(axis) for axis in found]
