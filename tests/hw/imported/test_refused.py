"""What an imported network may not have is refused before FINN sees it, and the node to blame is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import LoweringError
from hw.imported import ByteValues, integral
from hw.imported.file import load
from tests.hw.foreign import Foreign


def odd_nodes(network: Foreign) -> None:
    x = network.quant(network.node("Sin", [network.dense(network.quant("input", 4, 0.2), 8, 6)]), 3, 0.1)
    x = network.quant(network.node("Softplus", [network.dense(x, 6, 6)]), 3, 0.1)
    network.dense(x, 6, 3)


def unequal_scales(network: Foreign) -> None:
    x = network.quant("input", 4, 0.2)
    y = network.quant(network.dense(x, 8, 8), 4, 0.3)
    network.dense(network.relu(network.node("Add", [x, y]), 4, 0.3), 8, 3)


def no_quantizer(network: Foreign) -> None:
    x = network.node("Relu", [network.dense(network.quant("input", 4, 0.2), 8, 6)])
    network.dense(x, 6, 3)


def norm_before_weights(network: Foreign) -> None:
    network.dense(network.norm(network.quant("input", 4, 0.2), 8), 8, 3)


def float_weights(network: Foreign) -> None:
    x = network.quant("input", 4, 0.2)
    network.node("MatMul", [x, network.constant(network.rng.normal(size=(8, 3)))])


def scales_of_classes(network: Foreign) -> None:
    x = network.relu(network.dense(network.quant("input", 4, 0.2), 8, 6), 3, 0.3)
    network.node("Gemm", [x, network.weights((3, 6), 4, each=True)], transB=1)


def many_levels(network: Foreign) -> None:
    network.dense(network.quant(network.dense("input", 8, 6), 9, 0.1), 6, 3)


def turned_features(network: Foreign) -> None:
    x = network.node("Mul", ["input", network.constant(np.array([1.0, -1.0] * 4))])
    network.dense(network.quant(x, 4, 0.2), 8, 3)


def bent(network: Foreign) -> None:
    x = network.node("Elu", [network.dense("input", 8, 6)], alpha=-1.0)
    network.dense(network.quant(x, 4, 0.2), 6, 3)


def no_dependence(network: Foreign) -> None:
    network.dense("input", 8, 3)
    network.quant(network.constant(np.ones((1, 3))), 4, 0.5)


def two_matrices(network: Foreign) -> None:
    x, y = network.quant("input", 4, 0.2), network.quant(network.dense("input", 8, 8), 4, 0.2)
    network.node("MatMul", [x, network.node("Transpose", [y], perm=[1, 0])])


DENSE = [
    (odd_nodes, r"Sin_0 \(Sin\), Softplus_0 \(Softplus\): Retort's hardware has no layer"),
    (unequal_scales, r"Add_0 \(Add\): adds values of scales 0.3 and 0.2; quantize both with one quantizer"),
    (no_quantizer, r"Relu_0 \(Relu\): its values are not quantized; put a quantizer behind it"),
    (norm_before_weights, r"Gemm_0 \(Gemm\): scales of each channel differ"),
    (float_weights, r"MatMul_0 \(MatMul\): its weights are not quantized"),
    (scales_of_classes, r"Gemm_1 \(Gemm\): its outputs have scales of their own"),
    (many_levels, r"Quant_\d \(Quant\): 512 levels; quantize activations to 8 bits or fewer"),
    (turned_features, r"Quant_\d \(Quant\): turns features of its input around"),
    (bent, r"Elu_0 \(Elu\): falls and rises"),
    (no_dependence, r"its output '.*' does not depend on its input"),
    (two_matrices, r"Transpose_0 \(Transpose\): transposes within the network"),
]


def ragged_average(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (2, 2)), 3, 0.5)
    x = network.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    network.dense(network.node("Flatten", [x], axis=1), 36, 3)


def padded_average(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    x = network.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4)
    network.dense(network.node("Flatten", [x], axis=1), 36, 3)


def mean_of_channels(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    x = network.node("ReduceMean", [x, network.constant(np.array([1]))], keepdims=0)
    network.dense(network.node("Flatten", [x], axis=1), 16, 3)


def sparse_pool(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (2, 2)), 3, 0.5)
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[3, 3])
    network.dense(network.node("Flatten", [x], axis=1), 16, 3)


def dilated(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (2, 2), dilations=[2, 2]), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 64, 3)


def padding_without_zero(network: Foreign) -> None:
    x = network.quant(network.conv("input", 2, 4, (3, 3)), 1, 0.5)
    x = network.conv(network.node("Add", [x, network.constant(0.3)]), 4, 4, (3, 3), pads=[1] * 4)
    network.dense(network.node("Flatten", [network.relu(x, 3, 0.5)], axis=1), 64, 3)


def map_at_the_end(network: Foreign) -> None:
    network.conv(network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5), 4, 3, (1, 1))


def reshaped_within(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    x = network.node("Reshape", [x, network.constant(np.array([1, 16, 2, 2]))])
    network.dense(
        network.node("Flatten", [network.relu(network.conv(x, 16, 4, (1, 1)), 3, 0.5)], axis=1), 16, 3
    )


IMAGES = [
    (ragged_average, r"AveragePool_0 \(AveragePool\): averages over fewer values at the border"),
    (padded_average, r"AveragePool_0 \(AveragePool\): averages over fewer values at the border"),
    (mean_of_channels, r"ReduceMean_0 \(ReduceMean\): averages over axes \[1\]"),
    (sparse_pool, r"MaxPool_0 \(MaxPool\): its strides are longer than its window"),
    (dilated, r"Conv_0 \(Conv\): its kernel is dilated"),
    (padding_without_zero, r"Conv_1 \(Conv\): pads with 0, which its input cannot be"),
    (map_at_the_end, r"Conv_1 \(Conv\): gives \(1, 3, 4, 4\); a classifier gives \(1, classes\)"),
    (reshaped_within, r"Reshape_0 \(Reshape\): makes \(1, 16, 2, 2\) of \(1, 4, 4, 4\) within the network"),
]


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [(make, (8,), message) for make, message in DENSE]
    + [(make, (2, 6, 6), message) for make, message in IMAGES],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_node_to_blame_is_named(
    tmp_path: Path, make: Callable[[Foreign], None], shape: tuple[int, ...], message: str
) -> None:
    network = Foreign(shape)
    make(network)
    with pytest.raises(LoweringError, match=message):
        integral(load(network.save(tmp_path / "x.onnx")), ByteValues(1 / 16, -4.0))
