"""The student in QONNX's operators, as FINN takes it."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from common.topology import INPUT
from models.export.writer import TO_NCHW, TO_NHWC, FloatWriter, activation
from models.students.integer import IntegerLayer, IntegerNetwork, Weighted

DOMAIN = "qonnx.custom_op.general"
OPSET = 2


def qonnx_model(network: IntegerNetwork) -> onnx.ModelProto:
    """Write the QONNX form for FINN: float `x`, 0 to 255, to float `logits` (1, classes).

    `x` is (1, inputs), or (1, height, width, channels) where a layer takes images; so is a map of logits.
    """
    writer = _Qonnx(network)
    shape = [1, network.inputs]
    if writer.takes_images():
        shape = [1, *network.shape]
        writer.tensors[INPUT] = writer.node("Transpose", ["x"], "x_nchw", perm=TO_NCHW)
    else:
        writer.tensors[INPUT], writer.flat[INPUT] = "x", True
    writer.write()
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    sizes = network.out_shape(len(network.layers) - 1) if writer.gives_map else (network.outputs,)
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, *sizes])]
    return writer.model(network.name, inputs, outputs, [(DOMAIN, OPSET)])


class _Qonnx(FloatWriter):
    """Weights through `Quant` or `BipolarQuant`, activations through `MultiThreshold`."""

    batch = 1

    def _ended(self, logits: str) -> str:
        """A map as images, channels last, as hardware gives them."""
        return self.node("Transpose", [logits], "logits", perm=TO_NHWC) if self.gives_map else logits

    def _weights(self, index: int, operation: Weighted) -> str:
        stored = self.constant(f"w{index}", self._scaled(operation))
        scale = self.constant(f"ws{index}", np.array(operation.weight_scale, np.float32))
        if operation.weight_bits == 1:
            return self.node("BipolarQuant", [stored, scale], f"wq{index}", domain=DOMAIN)
        zero = self.constant(f"wz{index}", np.array(0, np.float32))
        bits = self.constant(f"wb{index}", np.array(operation.weight_bits, np.float32))
        form = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}
        return self.node("Quant", [stored, scale, zero, bits], f"wq{index}", domain=DOMAIN, **form)

    def _activate(self, index: int, layer: IntegerLayer, accumulator: str) -> str:
        return self.node(
            "MultiThreshold",
            [accumulator, self.constant(f"t{index}", self._levels(index))],
            activation(index),
            domain=DOMAIN,
            out_dtype=f"UINT{layer.activation_bits}",
            out_scale=layer.activation_scale,
            out_bias=0.0,
            data_layout="NC" if self.flat[index] else "NCHW",
        )
