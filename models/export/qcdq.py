"""The student in QCDQ form: QuantizeLinear, Clip, DequantizeLinear, in float32."""

import numpy as np
import onnx
from onnx import TensorProto

from common.topology import INPUT
from models.export.golden import WEIGHT_ZERO_POINT, offset_weights
from models.export.writer import FloatWriter, activation, value
from models.students.integer import Dense, IntegerLayer, IntegerNetwork, Weighted


def student_model(network: IntegerNetwork) -> onnx.ModelProto:
    """Write the QCDQ form: float `x` (batch, inputs), 0 to 255, to float `logits` (batch, outputs).

    Exact in float32, since all scales are powers of two.
    """
    writer = _Student(network)
    writer.frames(writer.requantize("input", "x", 1.0, network.input_bits))
    writer.write()
    inputs = [value("x", TensorProto.FLOAT, network.inputs)]
    return writer.model(network.name, inputs, [value("logits", TensorProto.FLOAT, network.outputs)])


class _Student(FloatWriter):
    """Dequantized activations and weights."""

    def _weights(self, index: int, operation: Weighted) -> str:
        stored = self.constant(f"weights{index}", offset_weights(self._laid_out(operation)))
        scale = self.constant(f"weight_scale{index}", np.array(operation.weight_scale, np.float32))
        zero = self.constant("weight_zero_point", np.array(WEIGHT_ZERO_POINT, np.uint8))
        return self.node("DequantizeLinear", [stored, scale, zero], f"dequantized{index}")

    def _dense(self, index: int, operation: Dense, x: str, name: str) -> str:
        """MatMul; with plain float weights where its input was not requantized just before.

        There onnxruntime would fuse DequantizeLinear and MatMul to one that rounds sums to 8 bits.
        """
        source = self.network.layers[index].sources[0]
        if source == INPUT or self.network.layers[source].thresholds is not None:
            return super()._dense(index, operation, x, name)
        return self.node("MatMul", [x, self.constant(f"weights{index}", self._scaled(operation))], name)

    def _activate(self, index: int, layer: IntegerLayer, accumulator: str) -> str:
        """Count the thresholds reached, and requantize."""
        assert layer.activation_scale and layer.activation_bits
        count = self.count_reached(index, accumulator, self._levels(index), TensorProto.FLOAT)
        step = self.constant(f"step{index}", np.array(layer.activation_scale, np.float32))
        scaled = self.node("Mul", [count, step], f"value{index}")
        return self.requantize(activation(index), scaled, layer.activation_scale, layer.activation_bits)

    def requantize(self, name: str, tensor: str, scale: float, bits: int) -> str:
        """QuantizeLinear, Clip to `bits` bits where that is narrower than uint8, DequantizeLinear."""
        step = self.constant(f"{name}_scale", np.array(scale, np.float32))
        zero = self.constant("zero", np.array(0, np.uint8))
        current = self.node("QuantizeLinear", [tensor, step, zero], f"{name}_quantized")
        if bits < 8:
            top = self.constant(f"{name}_max", np.array(2**bits - 1, np.uint8))
            current = self.node("Clip", [current, zero, top], f"{name}_clipped")
        return self.node("DequantizeLinear", [current, step, zero], name)
