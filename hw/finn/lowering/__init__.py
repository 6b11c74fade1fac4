"""FINN as the compiler: from `student.qonnx.onnx` to a folded graph of FINN's hardware layers.

FINN is imported when it is needed (seconds), kept to a build folder of its own, and not trusted: what it
leaves unlowered, or changes in value, is an error that names the node.
"""

from pathlib import Path
from typing import Any

from hw.finn.execution import activations, check_values
from hw.finn.graph import keep_output
from hw.finn.lowering.folding import Folding, fold
from hw.finn.lowering.layers import logit_scale, partition, to_layers
from hw.finn.lowering.streamlining import end_in_label, streamline, take_bytes
from hw.finn.session import finn_failures, finn_session
from hw.imported import ByteValues, integral
from hw.imported.file import load
from hw.imported.origin import in_file_order
from hw.interface import Affine

__all__ = ["Folding", "lower"]


def lower(qonnx: Path, *, folding: Folding, label: bool, log: Path, values: ByteValues | None = None) -> Any:
    """FINN's hardware graph (a qonnx `ModelWrapper`) of a QONNX file: its layers, specialized and folded.

    A student's input is uint8 already, and its every value is kept. An imported network takes floats, and
    `values` says which of them bytes stand for; every value of its integer form is kept. With `label` the
    graph ends in an arg-max, otherwise in integer logits. What these stand for is in it (`kept_output`).

    Raises `ModelFileError`: the file is no network. Raises `LoweringError`: FINN cannot take it, or changed a
    value; names the nodes.
    """
    with finn_session(log), finn_failures(f"{qonnx.name}: FINN failed", log):
        model = load(qonnx)
        meaning = Affine()
        if values is not None:
            made = integral(model, values)
            model, meaning = made.model, made.meaning
        take_bytes(model)
        reference = activations(model)
        model = to_layers(streamline(model, scaled=values is None))
        scale, offset = logit_scale(model)
        model = end_in_label(model) if label else model
        model = fold(partition(model), folding)
        check_values(model, reference, scale, offset)
        in_file_order(model)
        keep_output(model, Affine(meaning.scale * scale, meaning.scale * offset + meaning.offset))
    return model
