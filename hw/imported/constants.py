"""Constants of a network: what they are, and the integers behind quantized ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError
from hw.dataflow import Integers
from hw.imported.nodes import attributes, called
from hw.imported.quantizers import Floats, whole
from hw.imported.steps import MAKERS, Operands

QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")


@dataclass(frozen=True, eq=False)
class Constant:
    """Values, and of quantized ones the scale of their integers, which broadcasts to them."""

    values: NDArray[Any]
    scale: Floats | None = None

    def integers(self, node: str) -> tuple[Integers, NDArray[np.float64]]:
        """Integers and their scale, both of the values' shape; raises `LoweringError` where they are none."""
        scale = np.asarray(1.0 if self.scale is None else self.scale, np.float64)
        if not np.isfinite(self.values).all() or not (np.isfinite(scale) & (scale > 0)).all():
            raise LoweringError(
                f"{node}: its weights or their scale are not finite; train and export it again"
            )
        return whole(self.values, scale, node), np.broadcast_to(scale, self.values.shape)


class Constants:
    """Every constant of a graph by its name, computed as the nodes that make it come."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._made: dict[str, Constant] = {}

    def find(self, name: str) -> Constant | None:
        """The constant of a name, if it is one."""
        if name in self._made:
            return self._made[name]
        values = self._model.get_initializer(name) if name else None
        return None if values is None else Constant(values)

    def take(self, node: Any) -> bool:
        """Compute a node whose inputs are constants; False where they are not."""
        inputs = [self.find(name) for name in node.input if name]
        if None in inputs:
            return False
        self._made[node.output[0]] = self._computed(node, [each for each in inputs if each is not None])
        return True

    def _computed(self, node: Any, inputs: list[Constant]) -> Constant:
        if not inputs:
            return Constant(np.asarray(self._executed(node, {})))
        first = inputs[0]
        if node.op_type in QUANTIZERS:
            numbers = {place: each.values for place, each in enumerate(inputs) if place}
            (step,) = MAKERS[node.op_type](Operands(called(node), numbers, 0, attributes(node)))
            values = np.broadcast_to(first.values.astype(np.float32), first.values.shape)
            return Constant(step.apply(values), np.asarray(inputs[1].values, np.float32))
        values = self._executed(
            node, {name: find.values for name, find in zip(node.input, inputs, strict=True)}
        )
        if first.scale is None:
            return Constant(values)
        scales = np.broadcast_to(first.scale, first.values.shape)
        if node.op_type not in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
            return Constant(values)
        feeds = {name: find.values for name, find in zip(node.input, inputs, strict=True)}
        return Constant(values, self._executed(node, feeds | {node.input[0]: np.ascontiguousarray(scales)}))

    def _executed(self, node: Any, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        from qonnx.core.onnx_exec import execute_node

        context = dict(feeds) | {node.output[0]: np.zeros(0, np.float32)}
        opset = self._model.get_opset_imports().get(node.domain, 20)
        execute_node(node, context, self._model.graph, opset)
        return np.asarray(context[node.output[0]])
