"""Convolutional QONNX networks written by hand, with what they should give: no torch, no FINN."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

QONNX_DOMAIN = "qonnx.custom_op.general"
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class Value:
    """A tensor: its integers for every frame, `(n, C, H, W)` or `(n, features)`, each `scale` wide."""

    name: str
    integers: NDArray[np.int64]
    scale: float

    @property
    def channels(self) -> int:
        return int(self.integers.shape[1])


@dataclass
class Network:
    """Nodes in the order of making. `x` is `(1, *shape)`, NHWC; `frames` are what values are computed for."""

    shape: tuple[int, ...]
    seed: int = 0
    count: int = 12
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    activations: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.frames = frames_of(self.shape, self.count, self.seed)

    # Nodes

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        """A node; sums are called `y0`, `y1`, ..., activations `a0`, `a1`, ..."""
        letter = {"Conv": "y", "MatMul": "y", "MultiThreshold": "a"}.get(operator, "t")
        name = f"{letter}{sum(node.output[0][0] == letter for node in self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: Any) -> str:
        name = f"c{len(self.initializers)}"
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype == np.int64 else np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, integers: NDArray[np.int64], bits: int, scale: float) -> str:
        """Weights through `BipolarQuant` (1 bit: -1 and 1) or `Quant`."""
        floats, step = self.constant(integers * np.float32(scale)), self.constant(np.float32(scale))
        if bits == 1:
            return self.node("BipolarQuant", [floats, step], QONNX_DOMAIN)
        operands = [floats, step, self.constant(np.float32(0)), self.constant(np.float32(bits))]
        return self.node("Quant", operands, QONNX_DOMAIN, signed=1, narrow=1, rounding_mode="ROUND")

    # Layers

    def input(self) -> Value:
        if len(self.shape) == 1:
            return Value("x", self.frames.astype(np.int64), 1.0)
        pictures = self.frames.reshape(-1, *self.shape).astype(np.int64).transpose(0, 3, 1, 2)
        return Value(self.node("Transpose", ["x"], perm=TO_NCHW), pictures, 1.0)

    def conv(
        self,
        x: Value,
        outputs: int,
        kernel: tuple[int, int],
        *,
        bits: int = 4,
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        depthwise: bool = False,
        ones: bool = False,
    ) -> Value:
        """Accumulators of a convolution; with `depthwise` one kernel a channel, with `ones` a sum."""
        shape = (outputs, 1 if depthwise else x.channels, *kernel)
        integers = np.ones(shape, np.int64) if ones else self.draw(shape, bits)
        scale = 1.0 if ones else 2.0 ** -int(self.rng.integers(0, 6))
        name = self.node(
            "Conv",
            [x.name, self.weights(integers, 2 if ones else bits, scale)],
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(pads),
            group=x.channels if depthwise else 1,
            dilations=[1, 1],
        )
        sums = convolve(x.integers, integers, stride, pads, depthwise=depthwise)
        return Value(name, sums, x.scale * scale)

    def dense(
        self,
        x: Value,
        outputs: int,
        *,
        bits: int = 4,
        scale: float | None = None,
        weights: NDArray[np.int64] | None = None,
    ) -> Value:
        integers = self.draw((x.channels, outputs), bits) if weights is None else weights
        scale = scale or 2.0 ** -int(self.rng.integers(0, 6))
        name = self.node("MatMul", [x.name, self.weights(integers, bits, scale)])
        return Value(name, x.integers @ integers, x.scale * scale)

    def draw(self, shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
        if bits == 1:
            return self.rng.choice(np.array([-1, 1]), shape)
        top = 2 ** (bits - 1) - 1
        found = self.rng.integers(-top, top + 1, shape)
        found.flat[0], found.flat[-1] = top, -top
        return found

    def threshold(self, x: Value, bits: int = 3, scale: float | None = None) -> Value:
        """Thresholds of each channel that occur; one channel is always 0, one always at its greatest."""
        steps, channels = 2**bits - 1, x.channels
        sums = np.moveaxis(x.integers, 1, 0).reshape(channels, -1)
        levels = np.sort(self.rng.choice(sums, steps, axis=1), axis=1)
        if channels > 2:
            levels[0], levels[1] = sums.max() + 1, sums.min()
        scale = scale or 2.0 ** -int(self.rng.integers(0, 5))
        layout = {"data_layout": "NCHW" if x.integers.ndim == 4 else "NC"}
        name = self.node(
            "MultiThreshold",
            [x.name, self.constant(levels * np.float32(x.scale))],
            QONNX_DOMAIN,
            out_dtype=f"UINT{bits}",
            out_scale=scale,
            out_bias=0.0,
            **layout,
        )
        counts = (np.moveaxis(x.integers, 1, -1)[..., None] >= levels).sum(-1)
        self.activations.append(Value(name, np.moveaxis(counts, -1, 1), scale))
        return self.activations[-1]

    def max_pool(
        self,
        x: Value,
        size: tuple[int, int],
        stride: tuple[int, int] | None = None,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Value:
        stride = stride or size
        name = self.node("MaxPool", [x.name], kernel_shape=list(size), strides=list(stride), pads=list(pads))
        return Value(name, windows(x.integers, size, stride, pads).max(axis=(-2, -1)), x.scale)

    def add(self, x: Value, y: Value) -> Value:
        assert x.scale == y.scale
        return Value(self.node("Add", [x.name, y.name]), x.integers + y.integers, x.scale)

    def flatten(self, x: Value) -> Value:
        """Back to NHWC, then one row a frame."""
        name = self.node("Transpose", [x.name], perm=TO_NHWC)
        rows = x.integers.transpose(0, 2, 3, 1).reshape(len(x.integers), -1)
        return Value(self.node("Reshape", [name, self.constant(np.array([1, -1]))]), rows, x.scale)

    # Files

    def model(self, output: Value) -> onnx.ModelProto:
        """The network; its output is called `logits`."""
        self.nodes[-1].output[0] = "logits"
        size = [1, *output.integers.shape[1:]]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, size)],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX_DOMAIN, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, output: Value, folder: Path) -> Path:
        path = folder / "student.qonnx.onnx"
        path.write_bytes(self.model(output).SerializeToString())
        return path


def frames_of(shape: tuple[int, ...], count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Flat frames of any brightness, the first all 0, the second all 255."""
    rng = np.random.default_rng(seed + 1)
    frames = rng.integers(0, 256, (count, int(np.prod(shape)))) * rng.random((count, 1)) ** 2
    frames[: min(2, count)] = [[0], [255]][: min(2, count)]
    return frames.astype(np.uint8)


def windows(
    x: NDArray[np.int64],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> NDArray[np.int64]:
    """`(n, C, H, W)` to `(n, C, rows, columns, kernel rows, kernel columns)`, zeros around."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    found = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return found[:, :, :: stride[0], :: stride[1]]


def convolve(
    x: NDArray[np.int64],
    weights: NDArray[np.int64],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    *,
    depthwise: bool,
) -> NDArray[np.int64]:
    """ONNX's `Conv` on integers, `(n, C, H, W)` to `(n, outputs, rows, columns)`."""
    taken = windows(x, (weights.shape[2], weights.shape[3]), stride, pads)
    if depthwise:
        return np.einsum("ncyxhw,chw->ncyx", taken, weights[:, 0])
    return np.einsum("ncyxhw,ochw->noyx", taken, weights, optimize=True)
