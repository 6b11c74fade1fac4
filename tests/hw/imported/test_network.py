"""Networks as others export them, made of integers: values equal to qonnx's to the last bit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw.dataflow import GlobalSum
from hw.imported import ByteValues, integral
from hw.imported.file import load
from tests.hw.foreign import Foreign
from tests.hw.imported.checking import (
    check_lowered,
    check_values,
    floats_of,
    integers_of,
    random_frames,
    values_of,
)

MODES = ["ROUND", "CEIL", "FLOOR", "ROUND_TO_ZERO", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]


class Exact(Foreign):
    """Scales that are powers of two, batch-norms that do not round: float32 holds every value."""

    def weights(self, shape: tuple[int, ...], bits: int, *, each: bool = False) -> str:
        values = self.constant(self.rng.normal(size=shape))
        sizes = (shape[0], *[1] * (len(shape) - 1)) if each else ()
        return self.quant(values, bits, 2.0 ** self.rng.integers(-2, 0, sizes), narrow=True)

    def norm(self, x: str, channels: int, spread: float = 1.0) -> str:
        sign = self.rng.choice([-1.0, 1.0], channels)
        figures = (
            sign * 2.0 ** self.rng.integers(-1, 2, channels),
            self.rng.integers(-8, 9, channels) / 8,
            self.rng.integers(-8, 9, channels) / 8 * spread,
            np.full(channels, 4.0) - 1e-5,
        )
        return self.node("BatchNormalization", [x, *map(self.constant, figures)], epsilon=1e-5)


def random_network(seed: int) -> Exact:
    """Three hidden layers, dense or convolutional, each quantizer with a rule of rounding of its own."""
    rng = np.random.default_rng(seed)
    convolutional = bool(rng.integers(2))
    network = Exact((2, 7, 7) if convolutional else (10,), seed)

    def act(x: str, channels: int) -> str:
        mode, bits = str(rng.choice(MODES)), int(rng.integers(1, 5))
        if rng.integers(2) and (convolutional or x != "input"):
            x = network.norm(x, channels)
        if rng.integers(2):
            return network.quant(
                network.node("Relu", [x]), bits, 2.0 ** rng.integers(-1, 2), signed=False, mode=mode
            )
        narrow = bool(rng.integers(2)) and bits > 1
        return network.quant(x, bits + 1, 2.0 ** rng.integers(-1, 2), narrow=narrow, mode=mode)

    x = act("input", network.shape[0]) if rng.integers(4) else "input"
    size = network.shape[0]
    for _ in range(3):
        outputs = int(rng.integers(3, 8))
        if convolutional:
            x = network.conv(x, size, outputs, (3, 3), pads=[int(rng.integers(2) and x != "input")] * 4)
        else:
            x = network.dense(x, size, outputs)
        x, size = act(x, outputs), outputs
    if convolutional:
        x = network.node("GlobalAveragePool", [x])
        x = network.node("Flatten", [x], axis=1)
    network.dense(x, size, 4, bias=rng.integers(-8, 9, 4) * 0.0)
    return network


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_of_every_rounding_mode(tmp_path: Path, seed: int) -> None:
    network = random_network(seed)
    path = network.save(tmp_path / "x.onnx")
    made = integral(load(path), ByteValues(1 / 16, -4.0))
    assert made.error == 0
    frames = random_frames(made.layout.shape, 12, seed)
    values = values_of(made, integers_of(made, frames))
    wanted = floats_of(path, ByteValues(1 / 16, -4.0), frames)
    # Averages over 7 x 7 pixels and fewer are no powers of two.
    np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4 * made.meaning.scale)


# Forms of graphs


def global_mean(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    x = network.node("ReduceMean", [x, network.constant(np.array([-1, -2]))], keepdims=0)
    network.dense(x, 4, 3)


def mean_of_series(network: Foreign) -> None:
    x = network.quant("input", 4, 0.5)
    x = network.relu(network.conv(x, 2, 4, (3,), pads=[1, 1]), 3, 0.5)
    x = network.node("ReduceMean", [x, network.constant(np.array([2]))], keepdims=0)
    network.dense(x, 4, 3)


def series_as_image(network: Foreign) -> None:
    x = network.node("Unsqueeze", ["input", network.constant(np.array([2]))])
    x = network.relu(network.conv(network.quant(x, 4, 0.5), 2, 4, (1, 3), pads=[0, 1, 0, 1]), 3, 0.5)
    x = network.node("MaxPool", [x], kernel_shape=[1, 2], strides=[1, 2])
    x = network.node("Squeeze", [x, network.constant(np.array([2]))])
    x = network.relu(network.conv(x, 4, 4, (2,)), 2, 1.0)
    network.dense(network.node("Flatten", [x], axis=1), 12, 3)


def series_as_one_channel(network: Foreign) -> None:
    x = network.node("Unsqueeze", ["input", network.constant(np.array([1]))])
    x = network.relu(network.conv(network.quant(x, 4, 0.5), 1, 4, (2, 3)), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 24, 3)


def pool_before_norm(network: Foreign) -> None:
    """Where a batch-norm turns a channel around, the greatest becomes the least."""
    x = network.conv(network.quant("input", 4, 0.5), 2, 6, (3, 3))
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = network.relu(network.norm(x, 6), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 24, 3)


def norm_before_pool(network: Foreign) -> None:
    x = network.norm(network.conv(network.quant("input", 4, 0.5), 2, 6, (3, 3)), 6)
    x = network.relu(network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 24, 3)


def pools_on_both_sides(network: Foreign) -> None:
    """The second batch-norm turns what is no longer in a layer with weights."""
    x = network.quant(network.norm(network.conv("input", 2, 6, (3, 3)), 6), 3, 2.0)
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[1, 1])
    x = network.relu(network.norm(x, 6), 3, 0.5)
    network.dense(network.node("Flatten", [x], axis=1), 54, 3)


def multiplier(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    weights = network.weights((8, 1, 3, 3), 3)
    x = network.node("Conv", [x, weights], kernel_shape=[3, 3], group=4, pads=[1] * 4)
    network.dense(network.node("Flatten", [network.relu(x, 2, 1.0)], axis=1), 128, 3)


def groups(network: Foreign) -> None:
    x = network.relu(network.conv("input", 2, 6, (3, 3)), 3, 0.5)
    weights = network.weights((4, 3, 3, 3), 3, each=True)
    x = network.node("Conv", [x, weights], kernel_shape=[3, 3], group=2)
    network.dense(network.node("Flatten", [network.relu(x, 2, 1.0)], axis=1), 16, 3)


def partial_windows(network: Foreign) -> None:
    """`ceil_mode`, over sums and over activations."""
    x = network.conv(network.quant("input", 4, 0.5), 2, 4, (2, 2))
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    x = network.relu(x, 3, 0.5)
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    network.dense(network.node("Flatten", [x], axis=1), 16, 3)


def padded_pool(network: Foreign) -> None:
    x = network.quant(network.conv("input", 2, 4, (3, 3)), 3, 2.0)
    x = network.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    network.dense(network.node("Flatten", [x], axis=1), 16, 3)


def one_bit(network: Foreign) -> None:
    """What Brevitas exports of a `QuantReLU` of one bit."""
    x = network.bipolar(network.node("Relu", [network.conv("input", 2, 4, (3, 3))]), 0.5)
    x = network.bipolar(network.node("Relu", [network.conv(x, 4, 4, (3, 3), pads=[1] * 4)]), 2.0)
    network.dense(network.node("Flatten", [x], axis=1), 64, 3)


def zero_points(network: Foreign) -> None:
    x = network.quant("input", 4, 0.5, signed=False, zero=8.0)
    x = network.quant(network.conv(x, 2, 4, (3, 3), pads=[1] * 4), 3, 0.5, signed=False, zero=3.0)
    x = network.quant(network.conv(x, 4, 4, (3, 3), pads=[1] * 4), 3, 0.5, zero=-1.0)
    network.dense(network.node("Flatten", [x], axis=1), 144, 3)


def smooth(network: Foreign) -> None:
    """Activations that are no straight lines, and clipped ones."""
    x = network.quant(network.node("Tanh", [network.dense(network.quant("input", 4, 0.5), 8, 6)]), 3, 0.25)
    x = network.quant(network.node("Sigmoid", [network.dense(x, 6, 6)]), 2, 0.25, signed=False)
    x = network.node("Clip", [network.dense(x, 6, 6), network.constant(0.0), network.constant(1.5)])
    x = network.node("LeakyRelu", [network.dense(network.quant(x, 2, 0.5, signed=False), 6, 6)], alpha=0.25)
    network.dense(network.quant(x, 3, 0.5), 6, 3)


def unequal_steps(network: Foreign) -> None:
    """A residual sum of scales that are multiples of each other, and outputs of such scales."""
    x = network.quant(network.conv(network.quant("input", 4, 0.5), 2, 4, (3, 3), pads=[1] * 4), 3, 0.5)
    y = network.quant(network.conv(x, 4, 4, (3, 3), pads=[1] * 4), 3, 1.0)
    x = network.relu(network.node("Add", [x, y]), 3, 1.0)
    x = network.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = network.node("Flatten", [x], axis=1)
    network.node("Gemm", [x, network.weights((3, 36), 3, each=True)], transB=1)


def fork(network: Foreign) -> None:
    """Two quantizers on the same sums, one behind a norm that turns channels around."""
    sums = network.conv(network.quant("input", 4, 0.5), 2, 4, (3, 3))
    x, y = network.quant(sums, 3, 1.0), network.quant(network.norm(sums, 4), 3, 1.0)
    x = network.relu(network.node("Add", [x, y]), 3, 1.0)
    network.dense(network.node("Flatten", [x], axis=1), 64, 3)


def lone_pixels(network: Foreign) -> None:
    """A classifier that ends in a convolution and a global average."""
    x = network.relu(network.conv("input", 2, 4, (3, 3)), 3, 0.5)
    x = network.conv(x, 4, 3, (4, 4))
    network.node("Flatten", [x], axis=1)


FORMS = [
    (global_mean, (2, 6, 6)),
    (mean_of_series, (2, 8)),
    (series_as_image, (2, 8)),
    (series_as_one_channel, (3, 5)),
    (pool_before_norm, (2, 6, 6)),
    (norm_before_pool, (2, 6, 6)),
    (pools_on_both_sides, (2, 6, 6)),
    (multiplier, (2, 6, 6)),
    (groups, (2, 6, 6)),
    (partial_windows, (2, 6, 6)),
    (padded_pool, (2, 6, 6)),
    (one_bit, (2, 6, 6)),
    (zero_points, (2, 6, 6)),
    (smooth, (8,)),
    (unequal_steps, (2, 6, 6)),
    (fork, (2, 6, 6)),
    (lone_pixels, (2, 6, 6)),
]


@pytest.mark.parametrize(("make", "shape"), FORMS, ids=lambda each: getattr(each, "__name__", ""))
def test_graphs_that_users_have(
    tmp_path: Path, make: Callable[[Foreign], None], shape: tuple[int, ...]
) -> None:
    network = Exact(shape)
    make(network)
    path = tmp_path / "x.onnx"
    check_lowered(check_values(network, path), path)


def test_a_global_average_is_a_sum(tmp_path: Path) -> None:
    network = Exact((2, 6, 6))
    global_mean(network)
    path = tmp_path / "x.onnx"
    graph = check_lowered(check_values(network, path), path)
    assert [layer.pixels for layer in graph.layers if isinstance(layer, GlobalSum)] == [16]
