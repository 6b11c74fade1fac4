"""FINN's hardware graph read into the dataflow form.

FINN's activations may be signed or bipolar; Retort's hardware carries counts from 0 (`streams.py`). What is
between comes to rest in thresholds, biases and the value that windows pad with.
"""

from typing import Any

from common.errors import LoweringError
from hw.dataflow import DataflowGraph
from hw.dataflow.connect import connect
from hw.finn.graph import PLUMBING, base_kind, is_kind
from hw.finn.reader.layers import READERS
from hw.finn.reader.reading import Reading
from hw.finn.reader.streams import input_stream

__all__ = ["base_kind", "is_kind", "joined", "read", "read_layers"]


def read(model: Any) -> DataflowGraph:
    """The dataflow form of FINN's hardware graph, in words that meet.

    Raises `LoweringError`: nodes that Retort has no layer for, or values that its layers cannot carry.
    """
    return joined(read_layers(model))


def joined(reading: Reading) -> DataflowGraph:
    """The layers that were read, in words that meet; raises `LoweringError`."""
    return connect(reading.shape, reading.input_bits, reading.layers, reading.sources)


def read_layers(model: Any) -> Reading:
    """The layers that compute, and how they join."""
    _check_kinds(model)
    source = model.graph.input[0].name
    datatype = model.get_tensor_datatype(source)
    if not datatype.is_integer() or datatype.signed():
        raise LoweringError(f"input '{source}' is {datatype.name}; declare it unsigned")
    reading = Reading(model, tuple(model.get_tensor_shape(source)[1:]), datatype.bitwidth())
    reading.streams[source] = input_stream(reading.shape, reading.input_bits)
    for node in model.graph.node:
        reading.take(node, READERS.get(base_kind(node)))
    end = model.graph.output[0].name
    output = reading.streams[end]
    if output.scale != 1 or output.offset.any():
        name = model.find_producer(end).name
        raise LoweringError(
            f"{name}: gives signed activations as the network's output; they must count from 0"
        )
    return reading


def _check_kinds(model: Any) -> None:
    missing = [node for node in model.graph.node if base_kind(node) not in (*READERS, *PLUMBING)]
    if missing:
        names = ", ".join(f"{node.name} ({node.op_type})" for node in missing)
        raise LoweringError(f"{names}: Retort's hardware has no layer for it")
