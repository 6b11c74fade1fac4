"""The golden model: integers only, in standard operators."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from models.export.writer import Writer, activation, oihw, value, window
from models.students.integer import Conv, Dense, Depthwise, IntegerLayer, IntegerNetwork, SumPool

WEIGHT_ZERO_POINT = 128
# A table of activations is several times as fast as comparing with every threshold, while it stays small.
TABLE_LIMIT = 2**20


def golden_model(network: IntegerNetwork, *, taps: bool = False) -> onnx.ModelProto:
    """Write the integer golden model, the one reference for hardware.

    Input `x` uint8 (batch, inputs); outputs `logits` int32 (batch, outputs) and, unless they are a map,
    `label` int64 (batch,), the first of equal logits. With `taps`, also the uint8 activations (batch, values)
    of each layer with thresholds, as `tap_` and what `qonnx_model` calls them: `tap_layer0`, ...
    """
    writer = _Golden(network)
    writer.frames("x")
    logits = writer.write()
    outputs = [value("logits", TensorProto.INT32, network.outputs)]
    if not writer.gives_map:
        writer.node("ArgMax", [logits], "label", axis=1, keepdims=0, select_last_index=0)
        outputs.append(value("label", TensorProto.INT64))
    if taps:
        indices = [index for index, layer in enumerate(network.layers) if layer.thresholds is not None]
        for index in indices:
            name, values = f"tap_{activation(index)}", int(np.prod(network.out_shape(index)))
            writer.node("Identity", [writer.flattened(index)], name)
            outputs.append(value(name, TensorProto.UINT8, values))
    return writer.model(f"{network.name}_golden", [value("x", TensorProto.UINT8, network.inputs)], outputs)


def offset_weights(weights: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Store weights as uint8 around 128.

    onnxruntime's uint8 by int8 kernel for AVX2 adds pairs of products in saturating int16 (255 * 127 * 2
    overflows); its uint8 by uint8 kernel widens first and is exact on every CPU. It may also fuse the
    dequantized form into it.
    """
    return np.asarray((weights.astype(np.int16) + WEIGHT_ZERO_POINT).astype(np.uint8))


class _Golden(Writer):
    """uint8 activations, int32 accumulators; sums beyond 8 bits stay int32."""

    def _zero_points(self) -> list[str]:
        return [
            self.constant("input_zero_point", np.array(0, np.uint8)),
            self.constant("weight_zero_point", np.array(WEIGHT_ZERO_POINT, np.uint8)),
        ]

    def _as_int32(self, tensor: str) -> str:
        return self.node("Cast", [tensor], f"{tensor}_int32", to=TensorProto.INT32)

    def _dense(self, index: int, operation: Dense, x: str, name: str) -> str:
        """MatMulInteger; MatMul where the activations are sums beyond uint8."""
        if self.network.input_max(index) > 255:
            weights = self.constant(f"weights{index}", operation.weights.T.astype(np.int32))
            return self.node("MatMul", [x, weights], name)
        weights = self.constant(f"weights{index}", offset_weights(operation.weights.T))
        return self.node("MatMulInteger", [self._as_uint8(index, x), weights, *self._zero_points()], name)

    def _as_uint8(self, index: int, x: str) -> str:
        """Sums that happen to fit uint8 come as int32."""
        source = self.network.layers[index].sources[0]
        wide = source >= 0 and self.network.layers[source].thresholds is None
        if not wide or not isinstance(self.network.layers[source].operation, SumPool):
            return x
        return self.node("Cast", [x], f"{x}_uint8", to=TensorProto.UINT8)

    def _convolve(self, index: int, operation: Conv | Depthwise, x: str, name: str) -> str:
        weights = self.constant(f"weights{index}", offset_weights(oihw(operation)))
        operands = [self._as_uint8(index, x), weights, *self._zero_points()]
        return self.node("ConvInteger", operands, name, **window(operation))

    def _add(self, index: int, terms: list[str], name: str) -> str:
        return self.node("Add", [self._as_int32(term) for term in terms], name)

    def _activate(self, index: int, layer: IntegerLayer, accumulator: str) -> str:
        """Look the activation up, or count the thresholds reached."""
        assert layer.thresholds is not None
        low, high = int(layer.thresholds.min()) - 1, int(layer.thresholds.max())
        width, channels = high - low + 1, len(layer.thresholds)
        if width * channels > TABLE_LIMIT:
            count = self.count_reached(index, accumulator, layer.thresholds, TensorProto.INT32)
            return self.node("Cast", [count], activation(index), to=TensorProto.UINT8)
        reached = np.arange(low, high + 1)
        rows = [np.searchsorted(row, reached, side="right") for row in layer.thresholds]
        table = self.constant(f"table{index}", np.concatenate(rows).astype(np.uint8))
        begins = (np.arange(channels) * width - low).astype(np.int32)
        least = self.constant(f"low{index}", np.array(low, np.int32))
        most = self.constant(f"high{index}", np.array(high, np.int32))
        inside = self.node("Clip", [accumulator, least, most], f"clipped{index}")
        begin = self.constant(f"begin{index}", self._column(index, begins))
        cell = self.node("Add", [inside, begin], f"index{index}")
        # GatherElements takes an eighth of Gather's time, and wants all in a row.
        row = self.node("Reshape", [cell, self.constant("row", np.array([-1]))], f"row{index}")
        found = self.node("GatherElements", [table, row], f"found{index}", axis=0)
        height, width, channels = self.network.out_shape(index)
        shape = [-1, channels] if self.flat[index] else [-1, channels, height, width]
        sizes = self.constant(f"shape{index}", np.array(shape))
        return self.node("Reshape", [found, sizes], activation(index))
