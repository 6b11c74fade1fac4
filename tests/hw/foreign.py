"""QONNX networks as others train and export them: channels first, free scales, batch-norms, biases."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX_DOMAIN = "qonnx.custom_op.general"


@dataclass
class Foreign:
    """Nodes in the order of making, on a float input of `shape`, (C, H, W), (C, L) or (features,)."""

    shape: tuple[int, ...]
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = f"k{len(self.initializers)}"
        array = np.asarray(values)
        array = array if array.dtype == np.int64 else array.astype(np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def quant(
        self,
        x: str,
        bits: int,
        scale: Any,
        *,
        signed: bool = True,
        narrow: bool = False,
        zero: float = 0.0,
        mode: str = "ROUND",
    ) -> str:
        operands = [x, self.constant(scale), self.constant(zero), self.constant(float(bits))]
        flags = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
        return self.node("Quant", operands, QONNX_DOMAIN, **flags)

    def bipolar(self, x: str, scale: float = 1.0) -> str:
        return self.node("BipolarQuant", [x, self.constant(scale)], QONNX_DOMAIN)

    def weights(self, shape: tuple[int, ...], bits: int, *, each: bool = False) -> str:
        """Quantized weights; a scale for `each` output, or one for all."""
        values = self.constant(self.rng.normal(size=shape))
        if bits == 1:
            return self.bipolar(values, 0.37)
        sizes = (shape[0], *[1] * (len(shape) - 1)) if each else ()
        return self.quant(values, bits, self.rng.uniform(0.5, 0.9, sizes) / 2 ** (bits - 2), narrow=True)

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: Sequence[int], bits: int = 3, **options: Any
    ) -> str:
        """A convolution; `options`: bias, depthwise, each (scale of an output), strides, pads."""
        each, depthwise = options.pop("each", False), options.pop("depthwise", False)
        operands = [x, self.weights((outputs, 1 if depthwise else inputs, *kernel), bits, each=each)]
        if options.pop("bias", False):
            operands.append(self.constant(self.rng.normal(size=outputs)))
        options = {"strides": [1] * len(kernel), "pads": [0] * 2 * len(kernel)} | options
        return self.node(
            "Conv", operands, kernel_shape=list(kernel), group=inputs if depthwise else 1, **options
        )

    def dense(self, x: str, inputs: int, outputs: int, bits: int = 3, *, bias: Any = None) -> str:
        operands = [x, self.weights((outputs, inputs), bits)]
        if bias is not None:
            operands.append(self.constant(bias))
        return self.node("Gemm", operands, transB=1)

    def norm(self, x: str, channels: int, spread: float = 1.0) -> str:
        """A batch-norm, some of its factors negative."""
        scale, mean = self.rng.normal(size=channels), self.rng.normal(size=channels) * spread
        figures = (
            scale,
            self.rng.normal(size=channels) / 2,
            mean,
            self.rng.uniform(0.5, 2, channels) * spread**2,
        )
        return self.node("BatchNormalization", [x, *map(self.constant, figures)], epsilon=1e-5)

    def relu(self, x: str, bits: int, scale: float) -> str:
        return self.quant(self.node("Relu", [x]), bits, scale, signed=False)

    def save(self, path: Path) -> Path:
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                "foreign",
                [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *self.shape])],
                [helper.make_tensor_value_info(self.nodes[-1].output[0], TensorProto.FLOAT, None)],
                self.initializers,
            ),
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(QONNX_DOMAIN, 1)],
            ir_version=8,
        )
        path.write_bytes(model.SerializeToString())
        return path
